"""What killed executions left is removed, and nothing else."""

from __future__ import annotations

from pathlib import Path

from edgetune.pipeline.metadata.outcome import read_outcome
from edgetune.pipeline.metadata.store import connection
from edgetune.pipeline.metadata.unfinished import sweep
from tests.helpers.recorded_run import Recorder


def test_folders_of_killed_executions_are_removed_and_recorded_as_canceled(tmp_path: Path) -> None:
    database, root = tmp_path / "metadata.db", tmp_path / "birds"
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
