"""Library versions recorded on artifacts."""

from __future__ import annotations

from importlib import metadata

import pytest
from tfx.components.example_validator import executor as example_validator_executor
from tfx.components.statistics_gen import executor as statistics_gen_executor
from tfx.types import standard_artifacts

from edgetune.components.common.lineage import stamp, versions_of
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
    ours().Do({"examples": []}, {key: [kind()]}, {})
    [versions] = seen
    assert versions is not None and set(LIBRARIES) <= set(versions)
