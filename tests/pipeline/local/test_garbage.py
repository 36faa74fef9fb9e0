"""`edgetune gc` removes what no later run needs, and nothing that is served, blessed or newest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline import cli
from edgetune.pipeline.local import garbage
from edgetune.pipeline.local.runner import only_run_in
from tests.helpers.recorded_run import Recorder

EXAMPLES, MODEL = ("ImageExampleGen", "examples"), ("TwoPhaseTrainer", "model")


def collect(workdir: Path, keep: int = 10, days: int = 90, delete: bool = False) -> list[garbage.Removable]:
    return garbage.collect(workdir, keep=keep, days=days, delete=delete)


class Nights:
    """A workdir with nightly runs, recorded as TFX does, with a file in each folder."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir
        database = workdir / "tfx_metadata" / "birds" / "metadata.db"
        database.parent.mkdir(parents=True)
        self.recorder = Recorder(database, "birds")
        self.count = self.last = 0

    def node(self, name: str, keys: dict[str, tuple[str, dict[str, Any]]], **more: Any) -> None:
        number = self.last + 1
        made = {}
        for key, (kind, properties) in keys.items():
            folder = self.file(f"tfx_pipeline_output/birds/{name}/{key}/{number}/file").parent
            made[key] = (kind, str(folder), properties)
        self.file(f"tfx_pipeline_output/birds/{name}/.system/executor_execution/{number}/output.pb")
        self.last = self.recorder.node(name, outputs=made, **more)
        assert self.last == number

    def file(self, name: str) -> Path:
        path = self.workdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 100)
        return path

    def run(self, blessed: bool = True, data: bool = True) -> None:
        """Record a run: of new data or of the same, with a model that is blessed and pushed, or neither."""
        self.count += 1
        run = f"run-{self.count}"
        self.recorder.run(run)
        if data:
            self.node("ImageExampleGen", {"examples": ("Examples", {}), "report": ("edgetune.IngestReport", {})})
            self.node("StatisticsGen", {"statistics": ("ExampleStatistics", {})}, inputs={"examples": EXAMPLES})
        else:
            self.last = self.recorder.node("ImageExampleGen", "CACHED")
            self.last = self.recorder.node("StatisticsGen", "CACHED")
        self.node("TwoPhaseTrainer", {"model": ("Model", {})}, inputs={"examples": EXAMPLES})
        number = self.last + 1
        evaluation = self.workdir / f"tfx_pipeline_output/birds/Evaluator/evaluation/{number}"
        verdict = {"blessed": int(blessed), "evaluation_uri": str(evaluation)}
        self.node(
            "Evaluator",
            {"evaluation": ("ModelEvaluation", {}), "blessing": ("ModelBlessing", verdict)},
            inputs={"examples": EXAMPLES, "model": MODEL},
        )
        if blessed:
            version = self.file(f"pushed/birds/saved_model/{self.count}/saved_model.pb").parent
            pushed = {"pushed": 1, "pushed_destination": str(version), "pushed_version": str(self.count)}
            self.node("ReleasePusher", {"pushed_model": ("PushedModel", pushed)}, inputs={"model": MODEL})
        report = self.file(f"reports/birds/{run}/index.html").parent
        os.utime(report, (self.count, self.count))
        self.file(f"logs/birds-20300101-00000{self.count}.log")

    def files(self) -> set[str]:
        """Return the folders and files that there are, without the numbers' files and the records."""
        found = (path.relative_to(self.workdir) for path in self.workdir.rglob("*") if path.is_file())
        return {
            str(path).removeprefix("tfx_pipeline_output/birds/").removesuffix("/file")
            for path in found
            if path.parts[0] != "tfx_metadata" and path.name != ".lock" and ".system" not in path.parts
        }

    def state(self, uri: str) -> int:
        [artifact] = [a for a in self.recorder.store.get_artifacts() if a.uri.endswith(uri)]
        return int(artifact.state)


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path / "w")


def test_what_older_runs_left_is_listed_and_only_removed_on_request(nights):
    for _ in range(4):
        nights.run()
    before = nights.files()
    found = collect(nights.workdir, keep=2)
    assert nights.files() == before
    assert collect(nights.workdir, keep=2, delete=True) == found
    # Five executions a night; the evaluations and their blessings stay for comparisons.
    assert before - nights.files() == {
        *("ImageExampleGen/examples/1", "ImageExampleGen/report/1", "StatisticsGen/statistics/2"),
        *("ImageExampleGen/examples/6", "ImageExampleGen/report/6", "StatisticsGen/statistics/7"),
        *("TwoPhaseTrainer/model/3", "TwoPhaseTrainer/model/8"),
        *("ReleasePusher/pushed_model/5", "ReleasePusher/pushed_model/10"),
        *("pushed/birds/saved_model/1/saved_model.pb", "pushed/birds/saved_model/2/saved_model.pb"),
        *("reports/birds/run-1/index.html", "reports/birds/run-2/index.html"),
        *("logs/birds-20300101-000001.log", "logs/birds-20300101-000002.log"),
    }
    assert {one.what for one in found} == {"artifact", "pushed version", "report", "log"}
    assert all(not Path(one.path).exists() and one.bytes >= 100 for one in found)
    assert nights.state("model/3") == pb.Artifact.DELETED and nights.state("model/13") == pb.Artifact.LIVE
    assert collect(nights.workdir, keep=2, delete=True) == []


def test_what_is_served_and_all_that_it_was_made_from_stays_however_old(nights):
    nights.run()
    nights.run(data=False)
    for _ in range(3):
        nights.run(blessed=False)
    collect(nights.workdir, keep=1, delete=True)
    # The second run pushed a model of the first one's data; drift is measured from their statistics.
    assert {path for path in nights.files() if not path.startswith(("logs", "Evaluator"))} == {
        *("ImageExampleGen/examples/1", "ImageExampleGen/report/1", "StatisticsGen/statistics/2"),
        *("TwoPhaseTrainer/model/8", "ReleasePusher/pushed_model/10", "pushed/birds/saved_model/2/saved_model.pb"),
        *("ImageExampleGen/examples/19", "ImageExampleGen/report/19", "StatisticsGen/statistics/20"),
        *("TwoPhaseTrainer/model/21", "reports/birds/run-1/index.html", "reports/birds/run-2/index.html"),
        "reports/birds/run-5/index.html",
    }


def test_evaluations_of_models_that_were_blessed_lately_stay_for_comparisons(nights):
    for _ in range(3):
        nights.run()
    collect(nights.workdir, keep=1, delete=True)
    kept = {"Evaluator/evaluation/4", "Evaluator/evaluation/9", "Evaluator/evaluation/14"}
    assert kept <= nights.files()
    collect(nights.workdir, keep=1, days=0, delete=True)
    assert kept & nights.files() == {"Evaluator/evaluation/14"}


def test_what_lies_elsewhere_is_never_removed(nights, tmp_path):
    (tmp_path / "mine" / "1").mkdir(parents=True)
    nights.recorder.run("run-0")
    nights.last = nights.recorder.node("Importer", outputs={"model": ("Model", str(tmp_path / "mine" / "1"), {})})
    for _ in range(2):
        nights.run()
    collect(nights.workdir, keep=1, days=0, delete=True)
    assert (tmp_path / "mine" / "1").exists()


def test_what_killed_runs_and_pushes_left_is_removed_too(nights):
    nights.run()
    nights.recorder.run("killed")
    nights.node("ImageExampleGen", {"examples": ("Examples", {})}, state="RUNNING")
    part = nights.file("pushed/birds/edge/.7.part/model.tflite")
    for path in (part, part.parent):
        os.utime(path, (1, 1))
    found = {(one.what, Path(one.path).name) for one in collect(nights.workdir, delete=True)}
    assert found == {("killed execution", str(nights.last)), ("part of a push", part.parent.name)}
    assert not part.exists() and f"ImageExampleGen/examples/{nights.last}" not in nights.files()
    assert collect(nights.workdir) == []


def test_a_workdir_in_use_or_without_records_is_refused(nights, tmp_path):
    with only_run_in(nights.workdir), pytest.raises(ConfigError, match="another run is using it"):
        collect(nights.workdir)
    with pytest.raises(ConfigError, match="no run is recorded here"):
        collect(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_command_lists_removes_and_prints_json(nights, capsys):
    for _ in range(3):
        nights.run()
    command = ["gc", "--workdir", str(nights.workdir), "--keep", "1"]
    assert cli.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("to remove, with --delete: ") and any(line.endswith("model/3") for line in lines)
    assert cli.main([*command, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert not listed["deleted"] and listed["bytes"] == sum(one["bytes"] for one in listed["found"]) > 0
    assert cli.main([*command, "--delete", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**listed, "deleted": True}
    assert cli.main([*command, "--delete"]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"
    assert cli.main(["gc", "--keep", "0"]) == 2
