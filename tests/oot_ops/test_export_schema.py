"""docs/schema is the contract as JSON Schema: in step with the models, valid, and as strict as a schema can be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oot_ops import export_schema
from tests.hud_endpoint.samples import COMPLETED_CALLBACK, IN_PROGRESS, SHA, relay_payload

jsonschema = pytest.importorskip("jsonschema")  # comes with check-jsonschema
FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schema"
SAMPLES: dict[str, list[dict[str, Any]]] = {
    "callback.json": [IN_PROGRESS, COMPLETED_CALLBACK],
    "relay_payload.json": [relay_payload()],
    "conflict_note.json": [
        {
            "trusted": {"verified_repo": "o/r"},
            "conflict": {"dynamoKey": "k", "conclusion": "failure", "digest": "0" * 64},
        }
    ],
    "dispatch.json": [{"repo": "org/repo", "delivery_id": "d", "sha": SHA}],
}


@pytest.mark.parametrize("name", export_schema.MODELS)
def test_the_file_is_in_step_with_the_model(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == export_schema.schemas()[name], "run `make schema`"


def test_there_are_no_other_files() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(export_schema.MODELS) == set(SAMPLES)


@pytest.mark.parametrize("name", export_schema.MODELS)
def test_the_schema_is_valid_and_takes_what_the_model_takes(name: str) -> None:
    schema = json.loads(export_schema.schemas()[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    for sample in SAMPLES[name]:
        jsonschema.validate(sample, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({}, schema)


def test_the_command_writes_the_same_bytes_again(tmp_path: Path) -> None:
    folder = tmp_path / "not there yet"
    for _ in range(2):
        command = [sys.executable, "-m", "oot_ops", "export-schema", str(folder)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert told.split("\n")[:-1] == [str(folder / name) for name in export_schema.MODELS]
        assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == export_schema.schemas()
