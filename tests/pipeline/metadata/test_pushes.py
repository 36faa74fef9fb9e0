"""What a run released is compared with what is served."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgetune.modules.release.release import Places
from edgetune.pipeline.metadata.outcome import read_outcome
from edgetune.pipeline.metadata.pushes import reason_to_push, superseded
from edgetune.pipeline.metadata.store import connection
from tests.helpers.recorded_run import Recorder
from tests.helpers.releases import write_release


class Pipeline:
    """A pipeline whose runs released models."""

    def __init__(self, folder: Path) -> None:
        self.places = Places(str(folder / "edge"), str(folder / "model"))
        self.db = folder / "metadata.db"
        self.recorder = Recorder(self.db, "birds")

    def record(self, version: int, after: str | None = None) -> None:
        """Record a run that released a version, or took it from the cache."""
        self.recorder.run(f"run-{len(self.recorder.store.get_executions())}")
        destinations = {"edge_destination": self.places.edge, "saved_model_destination": self.places.saved_model}
        done = {"pushed": 1, "pushed_version": str(version), "pushed_destination": f"somewhere/{version}"}
        outputs = {"pushed_model": ("PushedModel", "", done), "pushed_bundle": ("edgetune.PushedBundle", "", done)}
        self.recorder.node(
            "ReleasePusher", outputs=outputs, properties=destinations | ({"after": after} if after else {})
        )

    def superseded(self) -> str | None:
        return superseded(read_outcome(self.db, "birds"))

    def reason(self, pipeline_name: str = "birds") -> str | None:
        return reason_to_push(connection(None, self.db), pipeline_name, self.places)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


def test_what_is_served_is_not_superseded(pipeline):
    write_release(pipeline.places, 3)
    pipeline.record(3)
    assert pipeline.superseded() is None and pipeline.reason() is None


def test_a_newer_release_supersedes_and_the_reason_is_found_again(pipeline):
    write_release(pipeline.places, 3)
    write_release(pipeline.places, 5)
    pipeline.record(3)
    assert pipeline.superseded() == "5"
    write_release(pipeline.places, 6)
    pipeline.record(6, after="5")
    assert pipeline.superseded() is None and pipeline.reason() == "5"


@pytest.mark.parametrize("gone", ["edge/3", "model/3", "edge/releases/3.json"])
def test_a_release_of_which_anything_is_gone_is_superseded_as_a_whole(pipeline, tmp_path, gone):
    write_release(pipeline.places, 3)
    pipeline.record(3)
    path = tmp_path / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert pipeline.superseded() == "3"


def test_a_saved_model_that_belongs_to_no_release_supersedes(pipeline, tmp_path):
    write_release(pipeline.places, 3)
    (tmp_path / "model" / "9").mkdir()
    pipeline.record(3)
    assert pipeline.superseded() == "9"


def test_a_rollback_does_not_supersede_and_leaves_the_reason_as_it_was(pipeline):
    for version in (3, 5):
        write_release(pipeline.places, version)
    pipeline.record(5, after="4")
    write_release(pipeline.places, 7, rollback_to=3)
    assert pipeline.superseded() is None
    assert pipeline.reason() == "4", "with another one, ReleasePusher would not come from the cache, and release again"


@pytest.mark.parametrize("gone", ["edge/7", "model/7"])
def test_a_rollback_of_which_a_model_is_gone_is_superseded(pipeline, tmp_path, gone):
    write_release(pipeline.places, 3)
    pipeline.record(3)
    write_release(pipeline.places, 7, rollback_to=3)
    shutil.rmtree(tmp_path / gone)
    assert pipeline.superseded() == "7"


def test_a_place_that_cannot_be_read_supersedes_nothing(pipeline, monkeypatch):
    pipeline.record(3)

    def unreachable(folder: str) -> list[int]:
        raise OSError("unreachable")

    monkeypatch.setattr("edgetune.modules.storage.filesystem.versions", unreachable)
    assert pipeline.superseded() is None


def test_before_the_first_run_there_is_no_reason(tmp_path):
    places = Places(str(tmp_path / "edge"), str(tmp_path / "model"))
    assert reason_to_push(connection(None, tmp_path / "none.db"), "birds", places) is None


def test_the_reason_of_another_pipeline_that_released_in_the_same_second_is_not_taken(pipeline):
    write_release(pipeline.places, 3)
    pipeline.record(3, after="2")
    assert pipeline.reason() == "2"
    assert pipeline.reason("fish") is None
