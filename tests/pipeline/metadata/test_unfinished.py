"""What killed executions left is removed, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetune.pipeline.metadata.outcome import read_outcome
from edgetune.pipeline.metadata.store import connection
from edgetune.pipeline.metadata.unfinished import find, sweep
from tests.helpers.recorded_run import Recorder


def places(workdir: Path) -> tuple[Path, Path]:
    """Return the records and the root of a workdir, with the folders that they are in."""
    database, root = workdir / "tfx_metadata" / "birds" / "metadata.db", workdir / "tfx_pipeline_output" / "birds"
    for folder in (database.parent, root):
        folder.mkdir(parents=True)
    return database, root


def test_folders_of_killed_executions_are_removed_and_recorded_as_canceled(tmp_path: Path) -> None:
    database, root = places(tmp_path)
    recorder = Recorder(database, "birds")
    recorder.run("1")
    numbers = {
        state: recorder.node(f"Of{state.title()}", state) for state in ("COMPLETE", "FAILED", "RUNNING", "CACHED")
    }
    kept, gone = [], []
    for state, number in numbers.items():
        for below in (f"out/{number}", f".system/executor_execution/{number}"):
            folder = root / f"Of{state.title()}" / below
            folder.mkdir(parents=True)
            (folder / "file").touch()
            (gone if state == "RUNNING" else kept).append(folder)
    kept.append(root / "OfRunning" / "activation_cache" / "ab12")
    kept.append(root / "OfAnotherWorkdir" / "out" / str(numbers["RUNNING"]))  # with the same root and its own records
    for folder in kept[-2:]:
        folder.mkdir(parents=True)
    config = connection(None, database)
    assert sorted(sweep(config, str(root))) == sorted(map(str, gone))
    assert all(folder.exists() for folder in kept) and not any(folder.exists() for folder in gone)
    outcome = read_outcome(database, "birds")
    assert outcome.node("OfRunning").state == "CANCELED" and outcome.node("OfComplete").state == "COMPLETE"
    assert "OfRunning did not finish" in outcome.reasons
    assert sweep(config, str(root)) == []


def killed_in(database: Path, root: Path) -> Path:
    """Record an execution that was killed, and return the folder with its number, whoever made that."""
    recorder = Recorder(database, "birds")
    recorder.run("1")
    folder = root / "Trainer" / "model" / str(recorder.node("Trainer", "RUNNING"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").touch()
    return folder


def test_a_root_that_workdirs_share_keeps_all_folders(tmp_path: Path) -> None:
    """Both count from 1: the folder of a killed execution of one has the number of a complete one of the other."""
    shared = tmp_path / "shared" / "birds"
    database, _ = places(tmp_path / "one")
    folder = killed_in(database, shared)
    assert sweep(connection(None, database), str(shared)) == [] and folder.exists()
    assert read_outcome(database, "birds").node("Trainer").state == "CANCELED"


@pytest.mark.parametrize("other", ["a workdir", "a server"])
def test_the_root_of_a_workdir_that_others_have_used_keeps_all_folders(tmp_path: Path, other: str) -> None:
    database, root = places(tmp_path / "one")
    theirs, _ = places(tmp_path / "two")
    folder = killed_in(database, root)
    Recorder(theirs, "birds")
    config = connection("mysql://user@host/db" if other == "a server" else None, theirs)
    assert sweep(config, str(root)) == []
    assert find(connection(None, database), str(root)) == sweep(connection(None, database), str(root)) == []
    assert folder.exists()
