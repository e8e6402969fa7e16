"""What an action's README and MESSAGES.md must say, made from its code."""

from __future__ import annotations

import re
from string import Formatter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def words(text: str) -> str:
    return " ".join(text.split())


def readme(text: str, inputs: Iterable[Any], outputs: Mapping[str, Any]) -> str:
    """The README with the tables of inputs and outputs that the code asks for."""
    rows = [f"| `{item.name}` | {f'`{item.default}`' if item.default else ''} | {item.help} |" for item in inputs]
    taken = "\n".join(["| input | default | meaning |", "| --- | --- | --- |", *rows])
    rows = [f"| `{name}` | {words(output['description'])} |" for name, output in outputs.items()]
    given = "\n".join(["| output | meaning |", "| --- | --- |", *rows])
    return _with_section(_with_section(text, "inputs", taken), "outputs", given)


def messages_page(templates: Mapping[str, Any]) -> str:
    """MESSAGES.md."""
    parts = [
        "# Messages",
        "",
        "What the action tells when something is wrong, by code; *words* stand for the facts.",
        "",
    ]
    for code, template in templates.items():
        parts += [f"## {code}", "", f"**{template.title}** ({template.level})", ""]
        parts += [each for text in (template.cause, template.remedy) if text for each in (_placeholders(text), "")]
        if template.yaml:
            parts += ["```yaml", template.yaml, "```", ""]
    return "\n".join(parts)


def _placeholders(text: str) -> str:
    return "".join(before + (f"*{name}*" if name else "") for before, name, _, _ in Formatter().parse(text))


def _with_section(text: str, name: str, content: str) -> str:
    pattern = rf"(?s)(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{content}\n{found[2]}", text)
