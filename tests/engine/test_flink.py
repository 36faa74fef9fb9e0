"""The data components on a real local Flink cluster write the same artifacts as in one process.

Only a few digits and no components after the statistics, since every job on a cluster has to start its workers.
`make engine-test` runs this, and the whole pipeline on Flink.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline

from edgetune.components.curated_schema.component import CuratedSchema
from edgetune.components.image_example_gen import ImageExampleGen
from edgetune.modules.core.errors import ConfigError
from edgetune.modules.data.digits import write_digits
from edgetune.modules.data.sources import discover
from edgetune.modules.settings.execution import BeamSettings
from edgetune.modules.settings.run import DataSettings
from edgetune.pipeline.beam.flags import beam_flags
from edgetune.pipeline.local.observed_runner import run_observed
from edgetune.pipeline.metadata.outcome import COMPLETE, Outcome, read_outcome
from edgetune.pipeline.pipeline import SCHEMA
from edgetune.pipeline.preflight.engine import check_engine
from tests.engine import compare
from tests.engine.cluster import Cluster

pytestmark = pytest.mark.large

NODES = ("ImageExampleGen", "ImportSchemaGen", "StatisticsGen")
EACH = 20


class _Silent:
    def started(self, node_id: str) -> None:
        """Ignore the start of a node."""

    def finished(self, node_id: str, state: str) -> None:
        """Ignore the end of a node."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three digits, one with a copy under another name, and a file that is not an image."""
    everything = write_digits(tmp_path_factory.mktemp("all") / "digits")
    folder = tmp_path_factory.mktemp("data")
    for digit in "014":
        (folder / digit).mkdir()
        for path in sorted((everything / digit).iterdir())[:EACH]:
            shutil.copy(path, folder / digit)
    shutil.copy(next((folder / "0").iterdir()), folder / "0" / "copy.png")
    (folder / "0" / "notes.txt").write_text("no image\n")
    return folder


def run(data: Path, workdir: Path, flags: Sequence[str]) -> Outcome:
    """Run the first components with these Beam flags."""
    settings = DataSettings(path=str(data))
    example_gen = ImageExampleGen(discover(settings), settings)
    schema = CuratedSchema(SCHEMA).with_id("ImportSchemaGen")
    statistics = StatisticsGen(examples=example_gen.outputs["examples"], schema=schema.outputs["schema"])
    database = workdir / "metadata.db"
    pipeline = Pipeline(
        pipeline_name="digits",
        pipeline_root=str(workdir / "root"),
        components=[example_gen, schema, statistics],
        metadata_connection_config=metadata.sqlite_metadata_connection_config(str(database)),
        beam_pipeline_args=list(flags),
    )
    run_observed(pipeline, _Silent())
    return read_outcome(database, "digits")


@pytest.fixture(scope="module")
def direct(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(digits, tmp_path_factory.mktemp("direct"), beam_flags(BeamSettings()))


@pytest.fixture(scope="module")
def on_flink(cluster: Cluster, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(digits, tmp_path_factory.mktemp("on_flink"), beam_flags(cluster.settings))


def test_a_running_cluster_passes_the_check_and_wrong_settings_do_not(cluster):
    beam = cluster.settings
    check_engine(beam, beam_flags(beam), {})
    for change, words in (
        ({"workers": 3}, "has 2 slots"),
        ({"flink_version": "1.18"}, "runs Flink 1.19"),
    ):
        wished = beam.model_copy(update=change)
        with pytest.raises(ConfigError, match=words):
            check_engine(wished, beam_flags(wished), {})


def test_flink_writes_the_same_artifacts_as_one_process(on_flink, direct):
    assert {node.id: node.state for node in on_flink.nodes} == dict.fromkeys(NODES, COMPLETE)
    found = compare.outcomes(direct, on_flink)
    assert found == {
        "ImageExampleGen.examples": [],
        "ImageExampleGen.report": [],
        "StatisticsGen.statistics": [],
    }


def test_the_jobs_ran_on_the_cluster(cluster, on_flink):
    overview = cluster.overview()
    # One job each for ImageExampleGen and StatisticsGen.
    assert overview["jobs-finished"] == 2
    assert overview["jobs-failed"] == overview["jobs-cancelled"] == 0
