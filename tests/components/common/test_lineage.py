"""Library versions and recipes recorded on artifacts."""

from __future__ import annotations

from importlib import metadata

import pytest
from tfx.components.example_validator import executor as example_validator_executor
from tfx.components.statistics_gen import executor as statistics_gen_executor
from tfx.types import standard_artifacts

from edgetune.components.common.lineage import record_recipe, stamp, versions_of
from edgetune.components.data_validation import executor
from edgetune.components.data_validation.executor import LIBRARIES, StatisticsExecutor, ValidatorExecutor


def test_every_output_is_stamped_and_read_back():
    outputs = {"model": [standard_artifacts.Model()], "runs": [standard_artifacts.ModelRun() for _ in range(2)]}
    stamp(outputs, ["numpy", "no-such-library"])
    for artifact in (outputs["model"][0], *outputs["runs"]):
        found = versions_of(artifact)
        assert found is not None
        assert (found["numpy"], found["no-such-library"]) == (metadata.version("numpy"), None)


def test_an_artifact_without_a_record_has_no_versions():
    assert versions_of(standard_artifacts.Model()) is None


def recipe(properties: dict, *inputs: standard_artifacts.Model) -> standard_artifacts.Model:
    made = standard_artifacts.Model()
    record_recipe({"given": list(inputs)}, {"made": [made]}, properties)
    return made


def test_a_recipe_is_of_settings_and_code_in_a_row_of_components_and_not_of_data():
    def at_the_end(background: str, variants: str, data: str, run: str) -> str:
        images = standard_artifacts.Model()
        images.uri = data
        graph = recipe({"background": background, "alpha": None}, images)
        graph.uri = run
        return recipe({"variants": variants}, recipe({"seed": 1}, graph)).get_string_custom_property("recipe_sha256")

    first = at_the_end("white", "int8", "monday", "run 1")
    assert len(first) == 64 and first == at_the_end("white", "int8", "tuesday", "run 2")
    assert len({first, at_the_end("black", "int8", "monday", "1"), at_the_end("white", "float32", "monday", "1")}) == 3


@pytest.mark.parametrize(
    ("ours", "theirs", "key", "kind"),
    [
        (StatisticsExecutor, statistics_gen_executor.Executor, "statistics", standard_artifacts.ExampleStatistics),
        (ValidatorExecutor, example_validator_executor.Executor, "anomalies", standard_artifacts.ExampleAnomalies),
    ],
)
def test_tfxs_executors_get_outputs_that_have_the_versions_already(monkeypatch, ours, theirs, key, kind):
    seen = []
    # They may describe their outputs to the runner themselves, so later changes would be lost.
    monkeypatch.setattr(theirs, "Do", lambda self, inputs, outputs, properties: seen.append(versions_of(*outputs[key])))
    monkeypatch.setattr(executor, "check_examples", lambda _: {})
    ours().Do({"examples": [standard_artifacts.Examples()]}, {key: [kind()]}, {})
    [versions] = seen
    assert versions is not None and set(LIBRARIES) <= set(versions)
