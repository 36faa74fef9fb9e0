"""`schemas/bundle.json`: it is what the code reads, and describes bundles of every format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgetune.modules.contracts.bundle import FORMAT, json_schema_text, parse_bundle
from edgetune.modules.core.errors import BundleError

ROOT = Path(__file__).resolve().parents[3]
FROZEN = sorted((ROOT / "tests" / "frozen").glob("*/bundle/bundle.json"))
FACTS = {
    "format": FORMAT,
    "date": "2026-11-30T12:00:00+00:00",
    "run": None,
    "labels": ["a", "b"],
    "input": {"shape": [1, 8, 8, 3], "mean": 127.5, "std": 127.5},
    "variants": {
        "int8": {
            "file": "model_int8.tflite",
            "bytes": 5,
            "sha256": "0" * 64,
            "ops": {"CONV_2D": {"count": 35, "version": 3}},
            "min_runtime": "1.14.0",
        }
    },
}


def test_the_committed_schema_is_that_of_the_code():
    committed = (ROOT / "schemas" / "bundle.json").read_text(encoding="utf-8")
    assert committed == json_schema_text(), "run `make schema`"


def test_operations_have_counts_and_versions():
    found = parse_bundle(json.dumps(FACTS).encode())
    operation = found.variants["int8"].ops["CONV_2D"]
    assert (operation.count, operation.version, found.date) == (35, 3, "2026-11-30T12:00:00+00:00")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("ops", {"ADD": {"count": -1, "version": 1}}, "count"), ("ops", {"ADD": {"version": 1}}, "count")],
)
def test_an_operation_without_a_count_is_an_error(key, value, said):
    facts = json.loads(json.dumps(FACTS))
    facts["variants"]["int8"][key] = value
    with pytest.raises(BundleError) as caught:
        parse_bundle(json.dumps(facts).encode())
    assert said in caught.value.cause


def test_a_deviation_of_zero_is_an_error():
    with pytest.raises(BundleError, match="std"):
        parse_bundle(json.dumps({**FACTS, "input": {"shape": [1, 8, 8, 3], "std": 0}}).encode())


@pytest.mark.parametrize("file", [None, *FROZEN], ids=lambda file: "new" if file is None else file.parts[-3])
def test_bundles_of_every_format_are_valid_by_the_schema(file):
    validator = pytest.importorskip("jsonschema").Draft202012Validator(json.loads(json_schema_text()))
    facts = FACTS if file is None else json.loads(file.read_text(encoding="utf-8"))
    assert [error.message for error in validator.iter_errors(facts)] == []
    assert list(validator.iter_errors({**facts, "format": FORMAT + 1}))
    assert parse_bundle(json.dumps(facts).encode()).format == facts["format"]
