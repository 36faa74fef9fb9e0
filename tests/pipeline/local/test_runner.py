"""Running on this machine: the workdir, what is found before anything runs, and how a run ends."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgetune.pipeline.local.observed_runner
import edgetune.pipeline.pipeline
import edgetune.pipeline.preflight.training
from edgetune.modules.core.errors import ConfigError, DataError, MachineError, NotBlessed, PushError, SubmitError
from edgetune.modules.data.findings import UnusableFiles
from edgetune.modules.evaluation.gates import FILE, Gate, file_of
from edgetune.modules.release import marker
from edgetune.modules.release.release import Places
from edgetune.modules.settings.execution import BeamSettings
from edgetune.modules.settings.run import RunSettings
from edgetune.modules.storage import filesystem
from edgetune.modules.training import devices
from edgetune.modules.training.devices import Choice
from edgetune.pipeline.beam import flags
from edgetune.pipeline.beam.flags import beam_flags
from edgetune.pipeline.local import runner
from edgetune.pipeline.preflight import run as preflight
from tests.helpers.recorded_run import Recorder
from tests.helpers.releases import write_release
from tests.tiny import random_backbones

# Runs the command line in a process in which importing some packages is an error.
WITHOUT = """
import sys
refused = sys.argv.pop(1).split(",")
class Refuse:
    def find_spec(self, name, path=None, target=None):
        assert name.split(".")[0] not in refused, f"{name} is imported"
sys.meta_path.insert(0, Refuse())
from edgetune.pipeline.cli import main
sys.exit(main(sys.argv[1:]))
"""


# Nobody listens on that port.
FLINK = ["--set", "beam={runner: flink, master: 'http://127.0.0.1:1', environment_type: loopback}"]


def settings(data: Path, **changes: Any) -> RunSettings:
    model = {"weights": "none", "alpha": 0.35, "image_size": 32}
    return RunSettings.model_validate({"name": "birds", "data": {"path": str(data)}, "model": model, **changes})


def fill(folder: Path, *labels: str) -> None:
    for label in labels:
        (folder / label).mkdir(parents=True)
        for number in range(10):
            pixels = np.full((4, 4, 3), number, np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    fill(tmp_path / "photos", "owl", "wren")
    return tmp_path / "photos"


# --- the workdir


def test_the_lock_is_no_link_to_a_file_of_somebody_else(tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "private").write_text("kept")
    (tmp_path / "w" / ".lock").symlink_to(tmp_path / "private")
    with pytest.raises(ConfigError, match=r"\.lock: is a link"), runner.only_run_in(tmp_path / "w"):
        pass
    assert (tmp_path / "private").read_text() == "kept"


def test_a_workdir_in_use_is_refused_until_the_other_run_ends(tmp_path, photos):
    with (
        runner.only_run_in(tmp_path / "w"),
        pytest.raises(ConfigError, match="another run is using it"),
    ):
        runner.run(settings(photos), workdir=tmp_path / "w")
    with runner.only_run_in(tmp_path / "w"):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_as_such_and_not_as_another_run(tmp_path, photos, monkeypatch, number):
    def without_locks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(runner.fcntl, "flock", without_locks)
    with pytest.raises(MachineError, match=rf"\.lock: cannot be locked: {os.strerror(number)}") as caught:
        runner.run(settings(photos), workdir=tmp_path / "w")
    assert "a --workdir on a local disk" in caught.value.remedy
    assert not runner.is_in_use(tmp_path / "w")


def test_a_workdir_that_is_a_file_is_refused(tmp_path, photos):
    (tmp_path / "w").write_text("mine")
    with pytest.raises(ConfigError, match=r"--workdir .*/w: cannot be written: File exists"):
        runner.run(settings(photos), workdir=tmp_path / "w")
    assert (tmp_path / "w").read_text() == "mine"


def test_a_workdir_that_cannot_be_made_is_refused(tmp_path, photos):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--workdir .*/file/w: cannot be written: Not a directory"):
        runner.run(settings(photos), workdir=tmp_path / "file" / "w")


@pytest.mark.parametrize("name", ["a[1]", "what?", "all*"])
def test_a_workdir_that_libraries_take_for_a_pattern_is_refused(tmp_path, photos, name):
    with pytest.raises(ConfigError, match="which libraries take for a pattern of file names") as caught:
        runner.run(settings(photos), workdir=tmp_path / name)
    assert "rename the folder" in caught.value.remedy and not (tmp_path / name).exists()
    with pytest.raises(ConfigError, match="state.root .* has .* in its name"):
        runner.run(settings(photos, state={"root": f"/artifacts/{name}"}), workdir=tmp_path / "w")


# --- before anything runs


def command(root: Path, *arguments: str, without: str = "tfx") -> tuple[int, str]:
    """Exit code and standard error of `edgetune run`, which must not import TFX."""
    program = [sys.executable, "-c", WITHOUT, without, "run", *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=root)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("folders", "arguments", "code", "message"),
    [
        ((), [], 3, "the folder of images {data} does not exist"),
        (("owl",), [], 3, "{data} has only one class: owl"),
        (("owl", "wren"), ["--set", "data.min_examples_per_class=11"], 3, "{data} has 2 classes with fewer than 11"),
        (("owl", "wren"), ["--set", "model.alfa=1"], 2, "unknown key model.alfa (--set): did you mean model.alpha?"),
        (("owl", "wren"), FLINK, 2, "beam.master http://127.0.0.1:1 (Flink) does not answer: Connection refused"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_before_tfx_is_imported(
    root, tmp_path, folders, arguments, code, message
):
    fill(tmp_path / "photos", *folders)
    found, error = command(root, "--data", str(tmp_path / "photos"), "--workdir", str(tmp_path / "w"), *arguments)
    assert found == code
    sentence, remedy = error.splitlines()
    assert sentence.startswith(f"edgetune: {message.format(data=tmp_path / 'photos')}")
    assert remedy.startswith("  remedy: ")


@pytest.mark.large  # a process that imports TensorFlow
def test_weights_of_another_width_are_refused_before_tfx_is_imported(root, tmp_path):
    code, error = command(root, "--set", "model.alpha=0.5", "--workdir", str(tmp_path / "w"))
    assert code == 4
    sentence, remedy = error.splitlines()
    assert "mobilenet_v2_0.35_96_letters.safetensors does not match mobilenet_v2 with alpha 0.5: the layer " in sentence
    assert remedy.startswith("  remedy: ")


@pytest.mark.parametrize("exists", [False, True])
def test_a_mistyped_folder_of_images_leaves_nothing_behind(root, tmp_path, exists):
    workdir = tmp_path / "new" / "w"
    if exists:
        (workdir / "logs").mkdir(parents=True)
        (workdir / "logs" / "earlier.log").touch()
    code, error = command(root, "--data", str(tmp_path / "fotos"), "--workdir", str(workdir))
    assert code == DataError.exit_code and "fotos does not exist" in error
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == (["new/w/logs/earlier.log"] if exists else [])
    assert (tmp_path / "new").exists() == exists


def test_records_of_an_old_version_are_refused_before_anything_is_loaded_and_nothing_is_left(root, tmp_path, photos):
    database = tmp_path / "w" / "tfx_metadata" / "birds" / "metadata.db"
    database.parent.mkdir(parents=True)
    recorder = Recorder(database, "birds")
    recorder.run("1")
    recorder.node("EdgeExporter", outputs={"edge_model": ("components.common.artifacts.EdgeModel", "/old", {})})
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    arguments = ["--data", str(photos), "--workdir", str(tmp_path / "w")]
    code, error = command(root, *arguments, "--set", "name=birds", without="tfx,tensorflow")
    sentence, remedy = error.splitlines()
    assert code == ConfigError.exit_code
    assert sentence.startswith(
        f"edgetune: {database} holds runs of edgetune before 0.1.0 (artifacts of type components."
    )
    assert "name another --workdir" in remedy
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    # A run of another name has its own records and its own folders, so those of this one do not concern it.
    code, error = command(root, "--data", str(tmp_path / "fotos"), *arguments[2:], "--set", "name=owls")
    assert code == DataError.exit_code and "fotos does not exist" in error


# --- how a run ends


class Fake:
    """Stands for the pipeline and for what runs it: records nodes in ML Metadata as TFX would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.built: dict[str, Any] = {}
        self.error: Exception | None = None
        self.blessed = {"Evaluator": 1, "InfraValidator": 1, "EdgeEvaluator": 1}
        self.pushed = 1
        self.runs = 0

    def create(self, settings, source, places, metadata, beam_args, cache) -> SimpleNamespace:
        names = ["ImageExampleGen", *self.blessed, "ReleasePusher"]
        self.built = {"source": source, "places": places, "beam_args": beam_args, "cache": cache}
        self.metadata_db = Path(metadata.sqlite.filename_uri)
        return SimpleNamespace(components=[SimpleNamespace(id=name) for name in names])

    def run(self, pipeline, console) -> None:
        print("chatter of TFX")
        self.metadata_db.parent.mkdir(parents=True, exist_ok=True)
        recorder = Recorder(self.metadata_db, "birds")
        self.runs += 1
        recorder.run(f"run-{self.runs}")
        console.started("ImageExampleGen")
        console.finished("ImageExampleGen", "failed" if self.error else "done")
        recorder.node("ImageExampleGen", "FAILED" if self.error else "COMPLETE")
        if self.error:
            raise self.error
        for gate, kinds in (
            ("Evaluator", ("ModelEvaluation", "ModelBlessing")),
            ("InfraValidator", ("EdgeEvaluation", "edgetune.InfraBlessing")),
            ("EdgeEvaluator", ("EdgeEvaluation", "EdgeBlessing")),
        ):
            folder = self.folder / gate
            folder.mkdir(exist_ok=True)
            refused = {"int8": {"blessed": False, "reasons": ["agreement 0.5 is below edge.min_agreement 0.97"]}}
            (folder / "metrics.json").write_text(json.dumps({"variants": refused, "reasons": []}))
            passed = bool(self.blessed["Evaluator"])
            verdict = Gate("evaluation.min_accuracy", "SavedModel", "accuracy", 0.9, passed, measured=0.95)
            (folder / FILE).write_text(file_of([verdict]))
            blessing = (kinds[1], str(folder), {"blessed": self.blessed[gate]})
            recorder.node(gate, outputs={"evaluation": (kinds[0], str(folder), {}), "blessing": blessing})
        # As from the cache, unless `after` has another value.
        built, after = self.built["places"], self.built["places"].after
        places, version = Places(built.edge, built.saved_model), int(after or 0) + 1
        if self.pushed and (self.runs == 1 or after and not Path(built.saved_model, str(version)).exists()):
            write_release(places, version)
        outputs = {
            key: (kind, "", {"pushed": self.pushed, "pushed_destination": f"{folder}/{version}",
                             "pushed_version": str(version)})
            for key, kind, folder in (
                ("pushed_model", "PushedModel", built.saved_model),
                ("pushed_bundle", "edgetune.PushedBundle", built.edge),
            )
        }  # fmt: skip
        properties = {"edge_destination": built.edge, "saved_model_destination": built.saved_model}
        recorder.node("ReleasePusher", outputs=outputs, properties=properties | ({"after": after} if after else {}))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake(tmp_path / "artifacts")
    fake.folder.mkdir()
    monkeypatch.setattr(edgetune.pipeline.pipeline, "create_pipeline", fake.create)
    monkeypatch.setattr(edgetune.pipeline.local.observed_runner, "run_observed", fake.run)
    monkeypatch.setattr(edgetune.pipeline.preflight.training, "assemble", random_backbones.shared)
    return fake


@pytest.fixture
def run(tmp_path: Path, photos: Path) -> Callable[..., Any]:
    return lambda **options: runner.run(settings(photos), workdir=tmp_path / "w", **options)


def test_a_blessed_run_returns_its_outcome_and_prints_log_and_report(fake, run, tmp_path, capfd):
    done = run()
    work = tmp_path / "w"
    assert (done.name, done.run_id, done.blessed, done.reasons) == ("birds", "run-1", True, ())
    assert done.pushed == (f"{work}/pushed/birds/saved_model/1", f"{work}/pushed/birds/edge/1")
    assert done.require_blessed() is done
    report = work / "reports" / "birds" / "run-1" / "index.html"
    assert report.is_file() and done.report == report
    [log] = (work / "logs").glob("birds-*.log")
    assert done.log == log
    written = capfd.readouterr()
    assert written.out.startswith(f"edgetune: birds, log in {log}\n")
    assert str(report) in written.out and "ImageExampleGen" in written.out
    assert "\nedgetune: training on the CPU: there is " in written.out
    assert "processes" not in written.out and "warning" not in written.out
    assert "chatter of TFX" in log.read_text() and "chatter of TFX" not in written.out + written.err


def test_what_is_loaded_is_said_before_it_is_imported(root, tmp_path, photos):
    def said(name: str) -> str:
        """Return what a run has printed when it begins to import `name`."""
        stop = f"if name.split('.')[0] == {name!r}: import os; os._exit(9)"
        program = WITHOUT.replace('assert name.split(".")[0] not in refused, f"{name} is imported"', stop)
        arguments = ["", "run", "--data", str(photos), "--workdir", str(tmp_path / name), "--set", "model.weights=none"]
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, cwd=root
        )
        assert done.returncode == 9, done.stderr
        return done.stdout

    starting, log, loading = said("tensorflow").splitlines()
    assert starting == "edgetune: starting"
    assert log.startswith("edgetune: photos, log in ")
    assert re.fullmatch(r" +loading +[\d.]+ s  20 files, TensorFlow", loading)
    # Details are printed at most every few seconds: a fast machine prints none between TensorFlow and TFX.
    *_, loading = [line for line in said("tfx").splitlines() if line.split()[0] == "loading"]
    assert re.fullmatch(r" +loading +[\d.:]+ (s|min)  20 files, TensorFlow(, TFX)?", loading)


def test_what_was_loaded_is_a_line_of_its_own_before_the_first_component(fake, run, capfd):
    run()
    lines = capfd.readouterr().out.splitlines()
    [loaded] = [number for number, line in enumerate(lines) if re.match(r"  ✓ loading +[\d.]+ s  20 files$", line)]
    [first] = [number for number, line in enumerate(lines) if line.startswith("  ✓ ImageExampleGen")]
    assert loaded < first


def test_of_many_images_the_number_of_processes_is_said(fake, run, monkeypatch, capfd):
    monkeypatch.setattr(flags, "_BREAK_EVEN_IMAGES", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    run()
    assert "files, which 2 processes read\n" in capfd.readouterr().out


def test_of_images_whose_hashes_may_not_fit_into_memory_a_warning_is_given(fake, run, monkeypatch, tmp_path, capfd):
    limit = tmp_path / "memory.max"
    limit.write_text("20000")
    monkeypatch.setattr(flags, "_CONTAINER_LIMIT", limit)
    run()
    assert "edgetune: warning: hashes and facts of " in capfd.readouterr().out


def test_of_a_device_that_is_slow_with_these_settings_a_warning_is_given(fake, run, monkeypatch, capfd):
    choice = Choice("GPU 0 (Tesla T4)", "the first of 2", "it is slow so")
    monkeypatch.setattr(devices, "choose", lambda training: choice)
    run()
    assert (
        "\nedgetune: training on GPU 0 (Tesla T4): the first of 2\nedgetune: warning: it is slow so\n"
        in capfd.readouterr().out
    )


def test_the_pipeline_is_built_for_the_workdir(fake, run, tmp_path, photos):
    run(cache=False)
    work = tmp_path / "w"
    assert fake.built["cache"] is False
    assert fake.built["beam_args"] == beam_flags(BeamSettings())
    assert fake.built["places"].root == str(work / "tfx_pipeline_output" / "birds")
    assert fake.metadata_db == work / "tfx_metadata" / "birds" / "metadata.db"
    assert fake.built["source"].base == str(photos)


def test_places_of_the_configuration_stand_above_the_workdir(fake, tmp_path, photos):
    push = {"saved_model": str(tmp_path / "served"), "edge": str(tmp_path / "phones")}
    runner.run(settings(photos, push=push), workdir=tmp_path / "w")
    places = fake.built["places"]
    assert (places.saved_model, places.edge) == (push["saved_model"], push["edge"])


def test_artifacts_go_below_the_root_that_is_named(fake, tmp_path, photos):
    runner.run(settings(photos, state={"root": f"{tmp_path}/artifacts/"}), workdir=tmp_path / "w")
    assert fake.built["places"].root == f"{tmp_path}/artifacts/birds"
    assert fake.metadata_db == tmp_path / "w" / "tfx_metadata" / "birds" / "metadata.db"


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (
            {"state": {"metadata": "postgresql://ada@127.0.0.1:1/records"}},
            "no server answers at host 127.0.0.1, port 1",
        ),
        ({"state": {"root": "nowhere://bucket"}}, "state.root nowhere://bucket: cannot be written"),
        ({"push": {"edge": "nowhere://bucket"}}, "push.edge nowhere://bucket: cannot be written"),
        ({"training": {"distribution": "multi_worker"}}, "training.distribution is multi_worker"),
    ],
)
def test_what_is_elsewhere_and_not_there_is_said_before_anything_is_built(fake, tmp_path, photos, group, said):
    with pytest.raises(ConfigError) as caught:
        runner.run(settings(photos, **group), workdir=tmp_path / "w")
    assert said in caught.value.cause and caught.value.remedy
    assert fake.built == {}


def test_a_run_that_is_not_blessed_is_an_error_with_the_reason(fake, run):
    fake.blessed["EdgeEvaluator"] = fake.pushed = 0
    done = run()
    assert not done.blessed and done.pushed == ()
    with pytest.raises(NotBlessed) as caught:
        done.require_blessed()
    assert caught.value.cause == "edge variant int8: agreement 0.5 is below edge.min_agreement 0.97"
    assert "nothing was pushed" in caught.value.remedy and "index.html" in caught.value.remedy


def test_the_error_of_a_component_ends_the_run_as_it_was_raised_after_the_report(fake, run, tmp_path, capfd):
    fake.error = DataError("the class owl has 1 usable images", "add some")
    with pytest.raises(DataError) as caught:
        run()
    assert caught.value is fake.error
    report = tmp_path / "w" / "reports" / "birds" / "run-1" / "index.html"
    assert "the class owl has 1 usable images" in report.read_text()
    assert str(report) in capfd.readouterr().out


def test_an_interrupt_in_a_notebook_is_raised_after_the_report(fake, run, tmp_path):
    fake.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert "interrupted" in (tmp_path / "w" / "reports" / "birds" / "run-1" / "index.html").read_text()


def test_a_run_that_ends_before_it_is_recorded_has_a_report_of_its_own(fake, run, tmp_path, monkeypatch):
    run()
    earlier = (tmp_path / "w" / "reports" / "birds" / "run-1" / "index.html").read_bytes()

    def refuse(pipeline, console) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full/metadata.db")

    monkeypatch.setattr(edgetune.pipeline.local.observed_runner, "run_observed", refuse)
    with pytest.raises(MachineError, match="/full/metadata.db: the disk is full"):
        run()
    assert (tmp_path / "w" / "reports" / "birds" / "run-1" / "index.html").read_bytes() == earlier
    [page] = (tmp_path / "w" / "reports" / "birds").glob("unrecorded-*/index.html")
    assert "the disk is full" in page.read_text()


def test_a_report_that_cannot_be_written_does_not_hide_why_the_run_ended(fake, run, monkeypatch, capfd):
    fake.error = DataError("the class owl has 1 usable images", "add some")

    def refuse(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full/index.html")

    monkeypatch.setattr("edgetune.pipeline.local.aftermath.write_report", refuse)
    with pytest.raises(DataError, match="the class owl has 1 usable images"):
        run()
    assert "the report could not be written: OSError: [Errno 28] No space left" in capfd.readouterr().out


def test_what_the_first_component_rejected_is_in_the_report_of_the_run_that_it_stopped(fake, run, tmp_path):
    ingest = {"files": 2, "accepted": 1, "rejected": 1, "splits": {"train": {"owl": 1}, "eval": {}, "test": {}}}
    fake.error = UnusableFiles(
        "1 of 2 files", "repair it", ingest, [{"path": "owl/9.jpg", "reason": "the file is empty"}]
    )
    with pytest.raises(UnusableFiles):
        run()
    report = (tmp_path / "w" / "reports" / "birds" / "run-1" / "index.html").read_text()
    assert "owl/9.jpg" in report and "the file is empty" in report


def test_a_job_that_fails_on_a_cluster_is_an_error_with_its_reason_after_the_report(
    fake, photos, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(preflight, "check_engine", lambda *arguments: None)
    fake.error = RuntimeError("Pipeline job-1 failed in state FAILED: Caused by: java.io.IOException: no buffers")
    beam = {"runner": "flink", "master": "http://127.0.0.1:8081", "environment_type": "loopback"}
    with pytest.raises(SubmitError, match="a job ended on flink .* as FAILED: java.io.IOException: no buffers"):
        runner.run(settings(photos, beam=beam), workdir=tmp_path / "w")
    assert "java.io.IOException: no buffers" in (tmp_path / "w/reports/birds/run-1/index.html").read_text()
    assert "Traceback (most recent call last)" in caplog.text


def test_a_defect_is_not_taken_for_an_error_of_the_user(fake, run):
    fake.error = ZeroDivisionError("oh")
    with pytest.raises(ZeroDivisionError):
        run()


def pushed_to(tmp_path: Path) -> Places:
    folder = tmp_path / "w" / "pushed" / "birds"
    return Places(str(folder / "edge"), str(folder / "saved_model"))


def versions(tmp_path: Path) -> list[int]:
    """Return the released versions, each of which has both models."""
    places = pushed_to(tmp_path)
    found = filesystem.versions(places.saved_model)
    assert found == marker.released(places.edge)
    return found


def test_what_a_run_pushed_is_what_is_served_also_if_it_came_from_the_cache(fake, run, tmp_path, capfd):
    """A, then B, which pushes version 2, then A again, whose push is in the cache as version 1."""
    run()
    assert run().pushed == tuple(f"{tmp_path}/w/pushed/birds/{kind}/1" for kind in ("saved_model", "edge"))
    assert fake.runs == 2 and "again" not in capfd.readouterr().out
    write_release(pushed_to(tmp_path), 2)
    done = run()
    assert versions(tmp_path) == [1, 2, 3]
    assert [Path(path).name for path in done.pushed] == ["3", "3"]
    assert "edgetune: ReleasePusher again: the version that the cache has" in capfd.readouterr().out
    # The next night is served from the cache as it is.
    assert run().pushed == done.pushed and "again" not in capfd.readouterr().out
    assert versions(tmp_path) == [1, 2, 3]


def test_an_interrupted_release_is_completed_by_the_next_run(fake, run, tmp_path, capfd):
    run()
    release = write_release(pushed_to(tmp_path), 2)
    edge = pushed_to(tmp_path).edge
    Path(marker.path_of(edge, 2)).unlink()
    Path(edge, "2").rename(Path(edge, ".2.part"))
    marker.write(edge, release, intent=True)
    run()
    assert versions(tmp_path) == [1, 2, 3]
    assert "edgetune: completed release 2, which was interrupted\n" in capfd.readouterr().out


def test_a_destination_that_cannot_be_read_after_the_push_is_not_a_defect(fake, run, monkeypatch):
    def unreachable(folder: str) -> list[int]:
        raise OSError("unreachable")

    monkeypatch.setattr("edgetune.modules.storage.filesystem.versions", unreachable)
    assert run().blessed and fake.runs == 1


def test_a_version_that_somebody_else_pushes_meanwhile_is_an_error(fake, run, tmp_path, monkeypatch):
    def run_and_lose(pipeline, console) -> None:
        fake.run(pipeline, console)
        write_release(pushed_to(tmp_path), 10 * fake.runs)

    monkeypatch.setattr(edgetune.pipeline.local.observed_runner, "run_observed", run_and_lose)
    with pytest.raises(PushError, match="delivered a version that is not the newest: somebody else pushed"):
        run()


def test_the_embedded_digits_are_written_into_the_workdir(fake, tmp_path, monkeypatch):
    monkeypatch.setattr("edgetune.modules.data.digits.write_digits", lambda folder: fill(folder, "0", "1") or folder)
    runner.run(settings(Path("embedded:digits")), workdir=tmp_path / "w")
    assert fake.built["source"].base == str(tmp_path / "w" / "data" / "digits")
