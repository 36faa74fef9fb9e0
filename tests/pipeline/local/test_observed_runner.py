"""TFX's runner, observed: how an interrupt of a component ends a run."""

from __future__ import annotations

import pytest
from ml_metadata.proto import metadata_store_pb2 as pb
from tfx.orchestration.pipeline import Pipeline

from edgetune.components.curated_schema import executor
from edgetune.components.curated_schema.component import CuratedSchema
from edgetune.pipeline.beam.flags import IN_PROCESS
from edgetune.pipeline.local.observed_runner import run_observed
from tests.helpers.node_states import Seen


def test_an_interrupt_in_a_component_is_an_interrupt_and_not_a_defect_of_beam(tmp_path, root, monkeypatch):
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(executor.Executor, "Do", interrupt)
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "metadata.db")
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    pipeline = Pipeline(
        pipeline_name="birds",
        pipeline_root=str(tmp_path / "root"),
        components=[CuratedSchema(root / "schemas" / "examples.pbtxt")],
        metadata_connection_config=config,
        beam_pipeline_args=[f"--runner={IN_PROCESS}"],
    )
    seen = Seen()
    with pytest.raises(KeyboardInterrupt):
        run_observed(pipeline, seen)
    assert seen.states == [("CuratedSchema", "interrupted")]
