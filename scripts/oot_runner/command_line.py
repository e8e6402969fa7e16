"""The command line of report_result.py: a flag for each input, and a `--help` that teaches."""

from __future__ import annotations

import argparse

from oot_runner.inputs import INPUTS

_DESCRIPTION = """\
Report this job's result to PyTorch HUD, through the relay (pytorch/oot-hud, CRCR).

On GitHub Actions use actions/report-result, which runs this script. On any other CI that gives its jobs OIDC tokens,
run it yourself: with --status in_progress when the job starts (nightlies leave that out), and with --status completed
when it ends. It needs Python 3.8 or later and nothing else. Every flag can be given as the variable in brackets too.
The exit status is 0 even where the report failed, unless --fail-on-error is given."""

_EPILOG = """\
Buildkite (ids, names and the URL come from its own variables):

  buildkite-agent oidc request-token --audience pytorch-cross-repo-ci-relay --lifetime 300 > token
  python3 report_result.py --status completed --token-file token \\
      --test-reports 'reports/**/*.xml' --event-type nightly --delivery-id "$PYTORCH_COMMIT"

GitLab, in .gitlab-ci.yml (after_script knows how the job ended):

  test:
    id_tokens:
      OOT_TOKEN: { aud: pytorch-cross-repo-ci-relay }
    script: pytest --junitxml=reports/junit.xml
    after_script:
      - python3 report_result.py --status completed --test-reports 'reports/**/*.xml'
          --event-type nightly --delivery-id "$PYTORCH_COMMIT"

Anywhere else:

  python3 report_result.py --status completed --conclusion success --token-file token \\
      --workflow-name nightly --run-id 240 --job-name test-float32 --run-url https://ci.example/240 \\
      --event-type nightly --delivery-id 0123456789abcdef0123456789abcdef01234567

Add --dry-run to see what would be sent."""


def overlay(argv: list[str], environ: dict[str, str]) -> dict[str, str]:
    """Lay the flags over the environment; prints help or what is wrong, and exits, where argparse does."""
    parser = argparse.ArgumentParser(
        prog="report_result.py",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(parser)
    return {**environ, **settings(parser.parse_args(argv))}


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """Add a flag for each input."""
    for item in INPUTS:
        default = f" Default: {item.default}." if item.default else ""
        told = f"{item.help}{default} [{item.env}]".replace("%", "%%").replace("`", "")
        if item.default in ("true", "false"):
            parser.add_argument(f"--{item.name}", metavar="true|false", nargs="?", const="true", help=told)
        else:
            parser.add_argument(f"--{item.name}", metavar="VALUE", help=told)


def settings(options: argparse.Namespace) -> dict[str, str]:
    """Return the environment variables that the given flags stand for."""
    flags = {item.env: getattr(options, item.name.replace("-", "_")) for item in INPUTS}
    return {name: value for name, value in flags.items() if value is not None}
