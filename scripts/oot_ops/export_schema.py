"""Writes the JSON Schemas of the wire contract, one file a model: `python -m oot_ops.export_schema DIR`.

The text depends on nothing but the models, so a diff of docs/schema shows every change of the contract.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pydantic import BaseModel

from hud_endpoint.contract import Callback, ConflictNote, Dispatch, RelayPayload

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


def main() -> int:
    """Run from the command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="made if it is missing")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
