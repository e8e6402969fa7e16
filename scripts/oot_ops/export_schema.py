"""Writes the JSON Schemas of the wire contract, one file a model: `oot-hud export-schema DIR`.

The text depends on nothing but the models, so a diff of docs/schema shows every change of the contract.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from hud_endpoint.contract import Callback, ConflictNote, Dispatch, RelayPayload

if TYPE_CHECKING:
    import argparse

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
MODELS: dict[str, type[BaseModel]] = {
    "callback.json": Callback,
    "relay_payload.json": RelayPayload,
    "conflict_note.json": ConflictNote,
    "dispatch.json": Dispatch,
}


def schemas() -> dict[str, str]:
    """Give the text of each schema by its file's name."""
    return {
        name: json.dumps({"$schema": _DIALECT, **model.model_json_schema()}, indent=2, ensure_ascii=False) + "\n"
        for name, model in MODELS.items()
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="made if it is missing")


def main(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)
    return 0
