"""The settings of Beam: what each engine requires, and which addresses, flags and commands are invalid."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edgetune.modules.settings.execution import BeamSettings

POOL = {"environment_type": "external", "environment_config": "127.0.0.1:50000"}
FLINK = {"runner": "flink", "master": "http://127.0.0.1:8081", **POOL}
SPARK = {"runner": "spark", "master": "spark://host:7077", **POOL}
DATAFLOW = {
    "runner": "dataflow",
    "project": "birds",
    "region": "europe-west1",
    "temp_location": "gs://birds/tmp",
    "environment_config": "europe-docker.pkg.dev/birds/edgetune:1",
}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"workers": 4},
        FLINK,
        {**FLINK, "master": "https://flink.example.com/"},
        {"runner": "flink", "master": "[local]", "environment_type": "loopback"},
        {"runner": "flink", "job_server": "localhost:8099", "environment_config": "image:1"},
        {**FLINK, "environment_type": "process", "environment_config": '{"command": "/boot"}'},
        SPARK,
        {**SPARK, "master": "spark://one:7077,two:7077"},
        {**SPARK, "master": "local[2]"},
        DATAFLOW,
        {**DATAFLOW, "runner": "direct"},
        {"options": {"flexrs_goal": "COST_OPTIMIZED", "no_auth": True, "label": ["a=b", "c=d"], "shards": 3}},
    ],
)
def test_complete_descriptions_of_engines_are_accepted(values):
    assert BeamSettings.model_validate(values).runner == values.get("runner", "direct")


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (without(FLINK, "master"), "the runner flink needs beam.master, `http://host:8081`, .* or beam.job_server"),
        (without(SPARK, "master"), "the runner spark needs beam.master, `spark://host:7077`"),
        ({**FLINK, "master": "host:8081"}, "beam.master 'host:8081' is not the address"),
        ({**FLINK, "master": "spark://host:7077"}, "is not the address"),
        ({**SPARK, "master": "http://host:7077"}, "is not the address"),
        (without(FLINK, *POOL), "environment_type docker needs beam.environment_config: an image"),
        (without(FLINK, "environment_config"), "needs beam.environment_config: host:port of the worker pool"),
        ({**FLINK, "environment_config": "50000"}, "'50000' is not host:port"),
        (
            {**FLINK, "environment_type": "process", "environment_config": "boot"},
            "is not a JSON object with a `command`",
        ),
        ({**FLINK, "environment_type": "process", "environment_config": '{"env": {}}'}, "is not a JSON object"),
        (without(DATAFLOW, "project", "temp_location"), "dataflow needs beam.project, beam.temp_location "),
        (without(DATAFLOW, "environment_config"), "dataflow needs beam.environment_config .*the workers' image"),
        ({"options": {"--x": 1}}, "'--x' is not a flag name"),
        ({"options": {"x": {"y": 1}}}, 'x is {"y": 1}, but must be text'),
        ({"options": {"x": None}}, "x is null, but must be text"),
        ({"options": {"x": []}}, "x is \\[\\], but must be text"),
        ({"options": {"x": False}}, "x is false: leave out a flag without a value"),
    ],
)
def test_missing_or_invalid_settings_of_an_engine_are_reported(values, words):
    with pytest.raises(ValidationError, match=words):
        BeamSettings.model_validate(values)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("runner", "beamer"),
        ("workers", 0),
        ("workers_per_machine", 0),
        ("job_server", "http://host:8099"),
        ("job_server", "host"),
        ("flink_version", "1.19.3"),
        ("temp_location", "/tmp"),
        ("environment_type", "kubernetes"),
        ("xyzzy", 1),
    ],
)
def test_values_out_of_range_are_refused(key, value):
    with pytest.raises(ValidationError):
        BeamSettings.model_validate({key: value})
