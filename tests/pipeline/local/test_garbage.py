"""`edgetune gc` removes what no later run needs, and nothing that is served, blessed or newest."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from edgetune.modules.core.errors import AccessError, ConfigError
from edgetune.modules.evaluation.gates import Gate, file_of
from edgetune.modules.release import marker
from edgetune.modules.release.release import Places
from edgetune.modules.storage import filesystem
from edgetune.pipeline import cli
from edgetune.pipeline.local import garbage
from edgetune.pipeline.local.runner import only_run_in
from edgetune.pipeline.metadata.outcome import read_outcomes
from tests.helpers.recorded_run import Recorder
from tests.helpers.releases import write_release

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

    def run(self, blessed: bool = True, data: bool = True, pushed: bool = True) -> None:
        """Record a run: of new data or of the same, with a model that the Evaluator blessed or not, and its push."""
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
        if blessed and pushed:
            version = self.file(f"pushed/birds/saved_model/{self.count}/saved_model.pb").parent
            done = {"pushed": 1, "pushed_destination": str(version), "pushed_version": str(self.count)}
            self.node("ReleasePusher", {"pushed_model": ("PushedModel", done)}, inputs={"model": MODEL})
        report = self.file(f"reports/birds/{run}/index.html").parent
        os.utime(report, (self.count, self.count))
        self.file(f"logs/birds-20300101-00000{self.count}.log")

    @property
    def places(self) -> Places:
        pushed = self.workdir / "pushed" / "birds"
        return Places(str(pushed / "edge"), str(pushed / "saved_model"))

    def release(self, rollback_to: int | None = None) -> int:
        """Record a run, and release both models with a marker."""
        self.run()
        shutil.rmtree(Path(self.places.saved_model, str(self.count)))
        write_release(self.places, self.count, rollback_to)
        return self.count

    def versions(self) -> tuple[list[int], list[int], list[int]]:
        """Return the versions of markers, bundles and SavedModels."""
        folders = (self.places.edge, self.places.saved_model)
        return marker.released(self.places.edge), *map(filesystem.versions, folders)

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


def test_the_files_of_a_workdir_stay_when_a_copy_of_it_is_collected(nights, tmp_path):
    for _ in range(4):
        nights.run()
    before = nights.files()
    shutil.copytree(nights.workdir, tmp_path / "copy")
    removed = collect(tmp_path / "copy", keep=2, delete=True)
    assert {one.what for one in removed} == {"pushed version", "report", "log"}
    assert nights.files() == before
    (tmp_path / "link").symlink_to(nights.workdir)
    assert "artifact" in {one.what for one in collect(tmp_path / "link", keep=2)}


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


def test_what_a_marker_promises_stays_beside_versions_without_a_marker(nights):
    for _ in range(3):
        nights.release()
    # The bundle of a release that was killed between the switches, and a SavedModel that somebody else put there.
    intent = Path(marker.path_of(nights.places.edge, 7, intent=True))
    made = write_release(nights.places, 7)
    Path(marker.path_of(nights.places.edge, 7)).rename(intent)
    Path(made.saved_model.path).rename(Path(nights.places.saved_model, ".7.part"))
    Path(nights.places.saved_model, "9").mkdir()
    collect(nights.workdir, keep=2, delete=True)
    assert nights.versions() == ([2, 3], [2, 3, 7], [2, 3, 9])
    collect(nights.workdir, keep=1, delete=True)
    assert nights.versions() == ([3], [3, 7], [3, 9])
    assert intent.exists() and Path(nights.places.saved_model, ".7.part").exists()
    # All from which the released model was made stays, though another folder has the highest number.
    assert "TwoPhaseTrainer/model/13" in nights.files()


def test_a_release_that_cannot_be_completed_goes_with_those_before_the_kept_ones(nights):
    nights.release()
    intent = Path(marker.path_of(nights.places.edge, 1)).rename(marker.path_of(nights.places.edge, 1, intent=True))
    Path(nights.places.saved_model, "1", "saved_model.pb").unlink()
    part = nights.file("pushed/birds/edge/.1.part/model.tflite")
    for path in (part, part.parent):
        os.utime(path, (1, 1))
    nights.release()
    collect(nights.workdir, keep=1, delete=True)
    assert nights.versions() == ([2], [2], [2]) and not intent.exists() and not part.exists()


def test_models_that_were_only_compared_with_go_and_what_the_served_one_was_made_of_stays(nights):
    """Each model is compared with the one before it: their lineage would reach back to the first."""
    node = nights.node

    def comparing(name, outputs, inputs=None):
        earlier = {
            "Evaluator": {"earlier_blessings": ("Evaluator", "blessing")},
            "TwoPhaseTrainer": {"baseline_statistics": ("StatisticsGen", "statistics")},
        }.get(name, {})
        there = {key: source for key, source in earlier.items() if source in nights.recorder.artifacts}
        node(name, outputs, inputs={**(inputs or {}), **there})

    nights.node = comparing
    for _ in range(4):
        nights.run()
    collect(nights.workdir, keep=1, delete=True)
    for key in ("TwoPhaseTrainer/model/", "ImageExampleGen/examples/"):
        assert len([name for name in nights.files() if name.startswith(key)]) == 1, key


def test_the_report_of_an_older_run_that_took_all_from_the_cache_goes(nights):
    nights.run()
    for count in (2, 3, 4):  # nothing is new: what is served was made by the first run
        nights.count = count
        nights.recorder.run(f"run-{count}")
        for node in ("ImageExampleGen", "StatisticsGen", "TwoPhaseTrainer", "Evaluator", "ReleasePusher"):
            nights.recorder.node(node, "CACHED")
        report = nights.file(f"reports/birds/run-{count}/index.html").parent
        os.utime(report, (count, count))
    found = {Path(one.path).name for one in collect(nights.workdir, keep=1, delete=True) if one.what == "report"}
    assert found == {"run-2", "run-3"}, "run-1 made what is served, run-4 is the newest"


def test_the_last_release_of_a_run_stays_below_rollbacks(nights):
    for rollback_to in (None, None, 1, 1):
        nights.release(rollback_to)
    collect(nights.workdir, keep=1, delete=True)
    assert nights.versions() == ([2, 3, 4],) * 3


def test_the_newest_released_model_stays_if_a_rollback_replaced_it(nights):
    nights.run()
    nights.run()
    nights.recorder.artifacts["TwoPhaseTrainer", "model"] = [
        artifact for artifact in nights.recorder.store.get_artifacts() if artifact.uri.endswith("model/3")
    ]
    version = nights.file("pushed/birds/saved_model/3/saved_model.pb").parent
    pushed = {"pushed": 1, "pushed_destination": str(version), "pushed_version": "3"}
    nights.node("Rollback", {"pushed_model": ("PushedModel", pushed)}, inputs={"model": MODEL})
    nights.count = 3
    nights.run(pushed=False)  # another gate refused it
    nights.run(blessed=False)
    collect(nights.workdir, keep=1, delete=True)
    # Of both: what is served again, and what later models and data are compared with.
    assert {"StatisticsGen/statistics/2", "StatisticsGen/statistics/7"} <= nights.files()


def test_what_a_killed_removal_left_is_not_live_and_is_removed_by_the_next(nights, monkeypatch):
    for _ in range(2):
        nights.run()
    with monkeypatch.context() as patch, pytest.raises(AccessError):
        patch.setattr(filesystem, "remove", _fails)
        collect(nights.workdir, keep=1, delete=True)
    assert nights.state("examples/1") == pb.Artifact.MARKED_FOR_DELETION
    collect(nights.workdir, keep=1, delete=True)
    assert nights.state("examples/1") == pb.Artifact.DELETED and "ImageExampleGen/examples/1" not in nights.files()


def _fails(path: str) -> None:
    raise PermissionError(1, "Operation not permitted", path)


def test_records_that_do_not_have_the_newest_release_remove_nothing(nights):
    for _ in range(2):
        nights.release()
    write_release(nights.places, 7)
    before = nights.files()
    with pytest.raises(ConfigError, match="does not have the newest release, 7"):
        collect(nights.workdir, keep=1, delete=True)
    assert nights.files() == before


def test_the_empty_records_of_a_killed_first_run_are_no_obstacle(nights):
    empty = nights.workdir / "tfx_metadata" / "owls" / "metadata.db"
    empty.parent.mkdir()
    empty.touch()
    for _ in range(2):
        nights.run()
    assert collect(nights.workdir, keep=1, delete=True)


def test_a_killed_execution_in_another_root_is_left_to_the_next_run(nights):
    nights.recorder.run("killed")
    number = nights.recorder.node("ImageExampleGen", state="RUNNING")
    collect(nights.workdir, delete=True)
    [execution] = nights.recorder.store.get_executions_by_id([number])
    assert execution.last_known_state == pb.Execution.RUNNING


def test_removal_leaves_the_verdicts_of_old_runs_as_they_were(nights):
    def outcomes() -> list[tuple[bool, list[str]]]:
        return [(outcome.blessed, outcome.reasons) for outcome in read_outcomes(nights.recorder.store, "birds")]

    for _ in range(3):
        nights.run()
        for gate in ("InfraValidator", "EdgeEvaluator"):
            nights.node(gate, {"blessing": ("edgetune.Blessing", {"blessed": 1})})
    gate = Gate("evaluation.min_accuracy", "SavedModel", "accuracy", 0.8, True, measured=0.9)
    for path in nights.workdir.glob("tfx_pipeline_output/birds/*/*/*"):
        (path / "gates.json").write_text(file_of([gate]))
    assert outcomes() == [(True, [])] * 3
    collect(nights.workdir, keep=1, days=0, delete=True)
    assert not (nights.workdir / "tfx_pipeline_output/birds/InfraValidator/blessing/6").exists()
    assert outcomes() == [(True, [])] * 3


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
