"""Print what a shell needs to complete `oot-hud` and its flags.

eval "$(oot-hud completion bash)"      # in ~/.bashrc
eval "$(oot-hud completion zsh)"       # in ~/.zshrc, after compinit
oot-hud completion fish | source       # in ~/.config/fish/config.fish
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from argcomplete.shell_integration import shellcode

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    print(shellcode(["oot-hud"], shell=options.shell))
    return 0
