"""What was run and released can be listed and traced, and an earlier version released again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

from edgetune.modules.core.errors import BundleError, ConfigError, DatabaseError, NotBlessed, PushError
from edgetune.modules.release import marker
from edgetune.modules.release.release import EDGE, SAVED_MODEL, complete, newest
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.digests import file_digests
from edgetune.pipeline.cli import main
from edgetune.pipeline.history.lineage import lineage
from edgetune.pipeline.history.rollback import rollback
from edgetune.pipeline.history.runs import runs
from edgetune.pipeline.local.runner import only_run_in
from edgetune.pipeline.metadata.outcome import read_outcome
from edgetune.pipeline.metadata.releases import find, record_missing
from edgetune.pipeline.metadata.store import connection, open_store
from tests.helpers.nights import BLESSINGS, Nights
from tests.helpers.recorded_run import Recorder


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


def command(nights: Nights, *arguments: str) -> int:
    places = ["--workdir", str(nights.workdir), "--set", "name=birds", "--data", str(nights.folder)]
    return main([*arguments, *places])


# --- runs


def test_runs_have_verdict_accuracy_and_version_and_the_served_one_is_marked(nights, capsys):
    first, _, third = nights.night(0.9), nights.night(0.85, refused_by="InfraValidator"), nights.night(0.95)
    nights.recorder.run("run-4")
    nights.recorder.node("ImageExampleGen", "FAILED")
    nights.recorder.run("run-5")
    nights.recorder.node("ImageExampleGen", "RUNNING")
    found = runs(nights.settings, nights.workdir)
    rows = [(run["run"], run["verdict"], run["version"]) for run in found["runs"]]
    assert rows == [
        ("run-5", "interrupted", None),
        ("run-4", "failed", None),
        ("run-3", "blessed", third.version),
        ("run-2", "refused", None),
        ("run-1", "blessed", first.version),
    ]
    assert found["runs"][2]["accuracy"] == pytest.approx({"measured": 0.95, "low": 0.9, "high": 1.0, "images": 200})
    assert found["runs"][0]["accuracy"] is None
    assert found["served"] == {"saved_model": third.version, "release": third.version}
    assert command(nights, "runs", "--last", "3") == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "started", "verdict", "accuracy", "95%", "interval", "images", "version"]
    assert [line.split()[0] for line in lines] == ["run-5", "run-4", "run-3"]
    assert lines[2].split()[3:] == ["blessed", "95.0%", "90.0%", "to", "100%", "200", str(third.version), "served"]
    assert command(nights, "runs", "--json") == 0
    assert json.loads(capsys.readouterr().out) == found


def test_a_run_in_progress_is_not_called_interrupted_while_it_holds_the_workdir(nights):
    nights.night()
    for state in ("RUNNING", "COMPLETE"):  # of a node, and between two nodes
        nights.recorder.run(f"run-{state}")
        nights.recorder.node("ImageExampleGen", state)
    with only_run_in(nights.workdir):
        found = runs(nights.settings, nights.workdir)["runs"]
        with pytest.raises(ConfigError, match="another run is using it"), only_run_in(nights.workdir):
            pass
    assert [run["verdict"] for run in found] == ["running", "interrupted", "blessed"]
    found = runs(nights.settings, nights.workdir)["runs"]
    assert [run["verdict"] for run in found] == ["interrupted", "interrupted", "blessed"]
    with only_run_in(nights.workdir):  # asking left it free
        pass


def test_a_refused_run_names_its_gates(nights, capsys):
    nights.night(0.85, refused_by="InfraValidator")
    nights.recorder.run("run-2")
    nights.recorder.node("ImageExampleGen", "FAILED")
    found = runs(nights.settings, nights.workdir)["runs"]
    assert [(run["verdict"], run["by"]) for run in found] == [
        ("failed", ["ImageExampleGen"]),
        ("refused", ["InfraValidator"]),
    ]
    assert command(nights, "runs") == 0
    assert "refused by InfraValidator" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["runs"], ["rollback", "--to", "7"]])
def test_another_name_than_that_of_the_runs_leads_to_theirs(nights, capsys, arguments):
    nights.night()
    places = ["--workdir", str(nights.workdir), "--set", "name=bird", "--data", str(nights.folder)]
    assert main([*arguments, *places]) == ConfigError.exit_code
    said = capsys.readouterr().err
    assert "no run is recorded here" in said and "has runs of birds" in said and "--set name=birds" in said


def test_a_store_that_has_other_pipelines_names_them(nights):
    nights.night()
    other = nights.workdir / "tfx_metadata" / "fish" / "metadata.db"
    other.parent.mkdir()
    shutil.copy(nights.db, other)
    settings = nights.settings.model_copy(update={"name": "fish"})
    with pytest.raises(ConfigError, match="no run of fish is recorded here") as caught:
        runs(settings, nights.workdir)
    assert "birds" in caught.value.remedy


def test_rollback_without_a_version_leads_to_the_list_of_them(nights, capsys):
    assert command(nights, "rollback") == 2
    assert "`edgetune runs` lists the versions" in capsys.readouterr().err


def test_a_saved_model_that_is_no_complete_release_is_named(nights, capsys):
    made = nights.night()
    Path(nights.places.saved_model, str(made.version + 1)).mkdir()
    assert command(nights, "runs") == 0
    assert f"SavedModel {made.version + 1} is served, which is not a complete release" in capsys.readouterr().out


def test_a_release_that_was_interrupted_is_named_until_it_is_complete(nights, capsys):
    nights.night()
    made = nights.night()
    done = Path(marker.path_of(nights.places.edge, made.version))
    done.rename(marker.path_of(nights.places.edge, made.version, intent=True))
    assert runs(nights.settings, nights.workdir)["unmarked"] == [made.version]
    command(nights, "runs")
    assert f"release {made.version} has no marker: it is being made, or it was" in capsys.readouterr().out
    file = Path(made.edge.path, "model_float32.tflite")
    content = file.read_bytes()
    file.write_bytes(b"altered")
    assert runs(nights.settings, nights.workdir)["uncompletable"] == [made.version]
    command(nights, "runs")
    assert (
        f"release {made.version} has no marker: it was interrupted, and cannot be completed" in capsys.readouterr().out
    )
    file.write_bytes(content)
    complete(nights.places)
    found = runs(nights.settings, nights.workdir)
    assert found["unmarked"] == found["uncompletable"] == []


@pytest.mark.parametrize("content", ["no JSON", os.mkdir, os.mkfifo])
def test_what_a_killed_release_cannot_have_written_is_named_until_it_is_removed(nights, capsys, content):
    """As the remedy says; the runs, and what can be released, are not touched by it."""
    made = nights.night()
    path = Path(marker.path_of(nights.places.edge, made.version + 1, intent=True))
    path.write_text(content) if isinstance(content, str) else content(path)
    assert command(nights, "runs") == 0
    said = capsys.readouterr().out
    assert "blessed" in said and f"{made.version}  served" in said
    assert f"release {made.version + 1} has no marker: it was interrupted, and cannot be completed" in said
    assert f"; remove {path}" in said
    assert complete(nights.places) == [] and nights.night().version > made.version + 1
    path.rmdir() if path.is_dir() else path.unlink()
    command(nights, "runs")
    assert "has no marker" not in capsys.readouterr().out


@pytest.mark.parametrize("command_line", [["runs"], ["rollback", "--to", "7"], ["compare", "latest", "latest"], ["gc"]])
def test_records_that_are_a_pipe_are_an_error_and_not_waited_for(nights, capsys, command_line):
    nights.night()
    nights.db.unlink()
    os.mkfifo(nights.db)
    ended = main(["gc", "--workdir", str(nights.workdir)]) if "gc" in command_line else command(nights, *command_line)
    assert ended == DatabaseError.exit_code
    assert f"{nights.db}: the records of the runs should be here" in capsys.readouterr().err


def test_a_blessed_run_whose_files_are_gone_is_not_called_refused(nights, capsys):
    nights.night()
    shutil.rmtree(nights.folder / "night-1")
    [run] = runs(nights.settings, nights.workdir)["runs"]
    assert (run["verdict"], run["by"], run["accuracy"]) == ("files gone", [], None)
    assert command(nights, "runs") == 0
    assert "files gone" in capsys.readouterr().out
    nights.night(0.85, refused_by="EdgeEvaluator")
    shutil.rmtree(nights.folder / "night-2")
    assert runs(nights.settings, nights.workdir)["runs"][0]["verdict"] == "refused"


def test_without_records_runs_and_rollback_say_so_and_make_nothing(tmp_path, capsys):
    for arguments in (["runs"], ["rollback", "--to", "7"]):
        assert main([*arguments, "--workdir", str(tmp_path / "none"), "--set", "name=birds"]) == ConfigError.exit_code
        assert "no run is recorded here" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


# --- rollback


def test_a_rollback_releases_the_old_bytes_of_both_models_under_a_higher_number(nights, capsys):
    first, second = nights.night(0.95), nights.night(0.9)
    assert command(nights, "rollback", "--to", str(first.version)) == 0
    model, version = newest(nights.places)
    assert model == version > second.version
    said, lasts = capsys.readouterr().out.splitlines()
    assert said == f"version {version} of both models is served: a rollback to {first.version}"
    assert lasts.startswith("runs do not release the models that it replaced again")
    made = marker.read(nights.places.edge, version)
    assert made.rollback_to == first.version
    for name, part in made.parts().items():
        assert part.files == first.parts()[name].files == file_digests(part.path)
    # In the records: one execution with both models, of the artifacts of the first night.
    store = open_store(connection(None, nights.db))
    record, original = find(store, "birds", version), find(store, "birds", first.version)
    assert record.inputs == original.inputs and record.digests == original.digests
    assert set(record.digests) == {EDGE, SAVED_MODEL} and record.execution > original.execution
    found = runs(nights.settings, nights.workdir)
    assert [back["rollback_to"] for back in found["rollbacks"]] == [first.version]
    assert [run["version"] for run in found["runs"]] == [second.version, first.version]
    assert read_outcome(nights.db, "birds").run_id == "run-2", "a rollback is not a run"
    command(nights, "runs")
    assert f"rollback to {first.version}" in capsys.readouterr().out


def test_a_workdir_that_is_reached_by_a_link_is_the_one_that_runs_record(nights, tmp_path):
    first, _ = nights.night(), nights.night()
    link = tmp_path / "link"
    link.symlink_to(nights.workdir)
    made = rollback(nights.settings, link, first.version)
    for name, folder in nights.places.of().items():
        assert made.parts()[name].path == f"{folder}/{made.version}"
    # And what a run had decided is completed through it.
    done = Path(marker.path_of(nights.places.edge, made.version))
    done.rename(marker.path_of(nights.places.edge, made.version, intent=True))
    with pytest.raises(ConfigError, match=f"it is served already, as version {made.version}"):
        rollback(nights.settings, link, first.version)
    assert marker.released(nights.places.edge)[-1] == made.version


def test_one_can_go_back_from_a_rollback_and_to_one(nights):
    first, second = nights.night(), nights.night()
    third = rollback(nights.settings, nights.workdir, first.version)
    fourth = rollback(nights.settings, nights.workdir, second.version)
    fifth = rollback(nights.settings, nights.workdir, third.version)
    assert [made.rollback_to for made in (third, fourth, fifth)] == [first.version, second.version, third.version]
    assert fifth.saved_model.files == first.saved_model.files
    assert newest(nights.places) == (fifth.version, fifth.version)


def test_a_version_that_was_never_released_or_is_served_is_refused(nights, capsys):
    made = nights.night()
    for version, said in (
        (made.version, "there is no other version to go back to"),
        (7, f"the latest are: {made.version}"),
    ):
        assert command(nights, "rollback", "--to", str(version)) == ConfigError.exit_code
        assert said in capsys.readouterr().err
    assert marker.released(nights.places.edge) == [made.version]


@pytest.mark.parametrize(
    "path", ["edge/{}/model_float32.tflite", "saved_model/{}/saved_model.pb", "edge/{}/SHA256SUMS"]
)
@pytest.mark.parametrize("change", ["altered", "lost", "added"])
def test_a_version_of_which_a_file_is_not_as_it_was_is_refused(nights, path, change):
    first, second = nights.night(), nights.night()
    file = nights.workdir / "pushed" / "birds" / path.format(first.version)
    if change == "altered":
        file.write_text("altered")
    elif change == "lost":
        file.unlink()
    else:
        file.with_name("hook.py").write_text("print()")
    named = "hook.py" if change == "added" else file.name
    with pytest.raises(PushError, match=f"{named}: not as it was delivered"):
        rollback(nights.settings, nights.workdir, first.version)
    assert newest(nights.places) == (second.version, second.version)
    assert filesystem.versions(nights.places.saved_model) == [first.version, second.version]


@pytest.mark.parametrize("model", ["edge", "saved_model"])
def test_a_marker_that_was_altered_with_the_files_is_refused(nights, model):
    first, second = nights.night(), nights.night()
    folder = nights.workdir / "pushed" / "birds" / model / str(first.version)
    next(folder.glob("*model*")).write_text("altered")
    path = Path(marker.path_of(nights.places.edge, first.version))
    found = json.loads(path.read_text())
    found[model]["files"] = file_digests(str(folder))
    path.write_text(json.dumps(found))
    with pytest.raises((PushError, NotBlessed), match="digests that were recorded|not the one that the Evaluator"):
        rollback(nights.settings, nights.workdir, first.version)
    assert newest(nights.places) == (second.version, second.version)


@pytest.mark.parametrize("gate", ["Evaluator", "InfraValidator", "EdgeEvaluator"])
def test_a_version_without_the_blessing_of_each_gate_is_refused(nights, gate):
    first, second = nights.night(), nights.night()
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(nights.db)
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE
    store = metadata_store.MetadataStore(config)
    [identifier] = [find(store, "birds", first.version).inputs[key] for key, by in BLESSINGS.items() if by == gate]
    [blessing] = store.get_artifacts_by_id([identifier])
    blessing.custom_properties["blessed"].int_value = 0
    store.put_artifacts([blessing])
    with pytest.raises(NotBlessed, match=f"there is no blessing of the {gate}"):
        rollback(nights.settings, nights.workdir, first.version)
    assert newest(nights.places) == (second.version, second.version)


def test_a_version_that_these_records_do_not_have_is_refused(nights, tmp_path):
    first = nights.night()
    nights.night()
    other = Nights(tmp_path / "other")
    other.settings = nights.settings.model_copy(update={"push": other.settings.push.model_copy(
        update={"edge": nights.places.edge, "saved_model": nights.places.saved_model})})  # fmt: skip
    with pytest.raises(NotBlessed, match="do not have it"):
        rollback(other.settings, other.workdir, first.version)


def test_a_release_that_a_kill_left_unrecorded_is_recorded_by_the_next_run(nights):
    first = nights.night()
    second = nights.night(killed_before_record=True)
    config, store = connection(None, nights.db), open_store(connection(None, nights.db))
    assert find(store, "birds", second.version) is None
    assert record_missing(config, "birds", nights.places) == [second.version]
    assert record_missing(config, "birds", nights.places) == []
    assert record_missing(config, "owls", nights.places) == []
    assert find(store, "birds", second.version).inputs["model"] != find(store, "birds", first.version).inputs["model"]
    assert rollback(nights.settings, nights.workdir, first.version).rollback_to == first.version
    assert rollback(nights.settings, nights.workdir, second.version).rollback_to == second.version


def test_a_release_of_another_pipeline_with_this_number_does_not_hide_a_missing_record(nights):
    made = nights.night(killed_before_record=True)
    other = Recorder(nights.db, "owls")
    other.run("run-1")
    done = {"pushed": 1, "pushed_version": str(made.version)}
    other.node("ReleasePusher", outputs={"pushed_model": ("PushedModel", "", done)})
    config = connection(None, nights.db)
    assert record_missing(config, "birds", nights.places) == [made.version]
    assert record_missing(config, "birds", nights.places) == []


def test_a_marker_with_ids_of_a_platform_does_not_stop_a_run(nights):
    made = nights.night(killed_before_record=True)
    path = Path(marker.path_of(nights.places.edge, made.version))
    found = json.loads(path.read_text())
    found["inputs"] |= {"edge_model": "projects/7/artifacts/9", "ingest_report": 2**70}
    path.write_text(json.dumps(found))
    config = connection(None, nights.db)
    assert record_missing(config, "birds", nights.places) == [made.version]
    assert "edge_model" not in find(open_store(config), "birds", made.version).inputs


# --- lineage


def test_the_lineage_of_a_version_names_all_that_it_was_made_from(nights, capsys):
    first, second = nights.night(), nights.night()
    found = lineage(nights.settings, nights.workdir, str(second.version))
    assert (found["version"], found["replaced"], found["rollback_to"]) == (second.version, first.version, None)
    assert found["altered"] == [] and found["released"] == second.created
    assert found["data"]["digest"] == "e" * 64 and found["data"]["images"]["train"] == {"owl": 40, "jay": 41}
    assert found["configuration"] == f"{2:064x}" and found["code"] == {"model": "c" * 64}
    assert found["versions"]["model"] == {"tensorflow": "2.2"}
    rows = found["executions"]
    assert [row["component"] for row in rows] == [
        "ImageExampleGen", "TwoPhaseTrainer", "Evaluator", "InfraValidator", "EdgeEvaluator", "ReleasePusher",
    ]  # fmt: skip
    assert {row["run"] for row in rows} == {"run-2"} and [row["blessed"] for row in rows].count(True) == 3
    assert rows[1]["library_versions"] == {"tensorflow": "2.2"} and rows[1]["code_digest"] == "c" * 64
    bundle = f"{nights.places.edge}/{second.version}"
    assert lineage(nights.settings, nights.workdir, bundle) == found
    assert command(nights, "lineage", str(second.version), "--json") == 0
    assert json.loads(capsys.readouterr().out) == found
    assert command(nights, "lineage", bundle) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"replaced       {first.version}" in lines
    assert "data           eeeeeeeeeeee  train 81, test 11" in lines
    assert "libraries      model: tensorflow 2.2" in lines and "libraries      edge_model: not recorded" in lines
    assert sum(line.startswith("execution      ") for line in lines) == 6


def test_the_lineage_of_a_rollback_is_that_of_its_models(nights):
    first, second = nights.night(), nights.night()
    made = rollback(nights.settings, nights.workdir, first.version)
    found = lineage(nights.settings, nights.workdir, str(made.version))
    assert (found["rollback_to"], found["replaced"]) == (first.version, second.version)
    assert [row["component"] for row in found["executions"]][-1] == "Rollback"
    assert {row["run"] for row in found["executions"]} == {"run-1", None}


def test_a_version_whose_predecessor_has_no_marker_is_not_called_the_first(nights, capsys):
    first, second = nights.night(), nights.night()
    Path(marker.path_of(nights.places.edge, first.version)).unlink()
    assert lineage(nights.settings, nights.workdir, str(second.version))["replaced"] is None
    assert command(nights, "lineage", str(second.version)) == 0
    assert "replaced       no earlier release is recorded here" in capsys.readouterr().out


def test_a_bundle_from_elsewhere_has_its_own_statement_and_one_that_was_altered_is_named(nights, tmp_path, capsys):
    made = nights.night()
    bundle = Path(nights.places.edge, str(made.version))
    (bundle / "model_float32.tflite").write_text("altered")
    assert lineage(nights.settings, nights.workdir, str(bundle))["altered"] == ["model_float32.tflite"]
    (bundle / "SHA256SUMS").write_text("of somebody else")
    found = lineage(nights.settings, tmp_path / "none", str(bundle))
    assert (found["version"], found["executions"]) == (None, []) and found["data"]["digest"] == "e" * 64
    assert command(nights, "lineage", str(bundle)) == 0
    assert "version        of no release that is known here" in capsys.readouterr().out


def test_a_hostile_bundle_is_refused_or_shown_harmless(nights, tmp_path, capsys):
    made = nights.night()
    path = Path(nights.places.edge, str(made.version), "bundle.json")
    content = json.loads(path.read_text())
    content |= {"lineage": {"code": {"\x1b[31mred": "\x1b[2J"}, "versions": [], "data_digest": {"a": 1}}, "images": 7}
    path.write_text(json.dumps(content | {"gates": "none"}))
    assert command(nights, "lineage", str(made.version)) == 0
    assert "\x1b" not in capsys.readouterr().out
    path.write_text("{")
    assert command(nights, "lineage", str(made.version)) == BundleError.exit_code
    assert "bundle.json: " in capsys.readouterr().err
    assert command(nights, "lineage", str(tmp_path)) == BundleError.exit_code
    assert command(nights, "lineage", "77") == ConfigError.exit_code
    for name in ("bundle.json", "SHA256SUMS", "model_float32.tflite"):
        path.with_name(name).unlink()
        os.mkfifo(path.with_name(name))
        if name == "SHA256SUMS":  # it is a bundle again, of no known release
            path.unlink()
            path.write_text(json.dumps(content))
        assert command(nights, "lineage", str(made.version)) == (BundleError.exit_code if name == "bundle.json" else 0)


def test_none_of_these_commands_imports_tensorflow_or_tfx(nights, root):
    first, _ = nights.night(), nights.night()
    arguments = ["--workdir", str(nights.workdir), "--set", "name=birds"]
    program = (
        "import sys\nfrom edgetune.pipeline.cli import main\n"
        f"for command in (['runs'], ['lineage', '{first.version}'], ['rollback', '--to', '{first.version}']):\n"
        f"    assert main([*command, *{arguments!r}]) == 0\n"
        "print([name for name in ('tensorflow', 'tfx', 'apache_beam') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
