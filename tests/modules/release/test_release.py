"""A release delivers both models under one number, complete or not at all, wherever it is interrupted."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tensorflow as tf

from edgetune.modules.core.errors import PushError
from edgetune.modules.release import marker
from edgetune.modules.release.release import EDGE, SAVED_MODEL, Places, altered, complete, newest, release, replaced
from edgetune.modules.serving.saved_model import weights_sha256
from edgetune.modules.storage import filesystem, versions
from edgetune.modules.storage.digests import file_digests

MODEL_FILES = ("saved_model.pb", "assets/labels.txt", "variables/variables.index")
BUNDLE_FILES = ("SHA256SUMS", "bundle.json", "model_float32.tflite", "golden/0.png")


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, str]:
    """Return folders with the files of both models."""
    return models(tmp_path, "first")


FOLDERS = {EDGE: "bundle", SAVED_MODEL: "model"}


def models(folder: Path, content: str) -> dict[str, str]:
    found = {EDGE: folder / content / "bundle", SAVED_MODEL: folder / content / "model"}
    for at, names in ((found[EDGE], BUNDLE_FILES), (found[SAVED_MODEL], MODEL_FILES)):
        for name in names:
            (at / name).parent.mkdir(parents=True, exist_ok=True)
            (at / name).write_text(f"{name} of {content}\n" * 100)
    return {name: str(path) for name, path in found.items()}


@pytest.fixture(params=["disk", "url"])
def places(request, tmp_path: Path) -> Places:
    base = str(tmp_path / "pushed") if request.param == "disk" else f"ram://{tmp_path.name}"
    return Places(f"{base}/edge", f"{base}/saved_model")


@pytest.fixture
def disk(tmp_path: Path) -> Places:
    return Places(str(tmp_path / "pushed/edge"), str(tmp_path / "pushed/saved_model"))


def seen(folder: str) -> list[str]:
    """Return the names of all files that a reader of a folder may take: those without a hidden part."""
    names = filesystem.files_of(folder)
    return [name for name in names if not any(part.startswith(".") for part in name.split("/"))]


def everything(places: Places) -> list[str]:
    return [f"{folder}/{name}" for folder in places.of().values() for name in filesystem.files_of(folder)]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
@pytest.mark.parametrize(
    ("policy", "file", "folder"), [(0o755, 0o644, 0o755), (0o750, 0o640, 0o750), (0o700, 0o600, 0o700)]
)
def test_whoever_may_read_the_destination_may_read_what_is_pushed(sources, tmp_path, umask, policy, file, folder):
    pushed = tmp_path / "pushed"
    pushed.mkdir()
    pushed.chmod(policy)
    before = os.umask(umask)
    try:
        release(sources, Places(f"{pushed}/birds/edge", f"{pushed}/birds/saved_model"), "birds")
    finally:
        os.umask(before)
    writable = 0o022 & ~umask
    found = list(pushed.rglob("*"))  # the folders between are made by the push
    assert len(found) > len(MODEL_FILES) + len(BUNDLE_FILES) + 5
    for path in found:
        mode = path.stat().st_mode & 0o777
        assert mode & ~writable == (folder if path.is_dir() else file), path


def test_what_a_killed_release_left_is_swept_by_the_next_unless_it_was_decided(sources, disk):
    made = release(sources, disk, "birds")
    left = [Path(folder, f".{version}.part") for folder in disk.of().values() for version in (7, 8)]
    for folder in left:
        folder.mkdir()
        os.utime(folder, (0, 0))
    marker.write(disk.edge, made.model_copy(update={"version": 8}), intent=True)
    release(models(Path(disk.edge).parents[1], "second"), disk, "birds")
    assert [folder.exists() for folder in left] == [False, True, False, True]


def test_what_a_killed_write_of_a_marker_left_is_swept_once_it_is_old(sources, disk, tmp_path):
    made = release(sources, disk, "birds")
    folder = Path(disk.edge, marker.FOLDER)
    old, new, other = folder / f".7.{'a' * 32}.part", folder / f".8.{'b' * 32}.part", folder / ".9.part"
    for path in (old, new, other):
        path.write_text("{")
    for path in (old, other):
        os.utime(path, (1, 1))
    release(models(tmp_path, "second"), disk, "birds")
    assert not old.exists() and new.exists() and other.exists()
    assert marker.read(disk.edge, made.version) == made


def test_both_models_have_one_number_and_the_marker_has_their_digests(sources, places):
    before = int(time.time())
    made = release(sources, places, "birds", {"model": 7})
    assert before <= made.version <= time.time() and newest(places) == (made.version, made.version)
    for name, folder in places.of().items():
        part = made.parts()[name]
        assert part.path == f"{folder}/{made.version}"
        assert file_digests(part.path) == part.files == file_digests(sources[name])
    assert marker.released(places.edge) == [made.version] and marker.released(places.edge, intent=True) == []
    written = json.loads(filesystem.read(f"{places.edge}/releases/{made.version}.json"))
    assert (written["version"], written["pipeline"], written["rollback_to"]) == (made.version, "birds", None)
    assert written["inputs"] == {"model": 7} and set(written["edge"]["files"]) == set(BUNDLE_FILES)
    assert marker.read(places.edge, made.version) == made
    assert len(everything(places)) == len(MODEL_FILES) + len(BUNDLE_FILES) + 1


def test_a_newer_release_has_a_larger_number_even_if_the_clock_was_set_back_or_a_folder_was_removed(tmp_path, places):
    first, second = (release(models(tmp_path, text), places, "birds").version for text in ("first", "second"))
    assert second > first
    later = 99999999999
    filesystem.make_folder(f"{places.saved_model}/{later}")
    filesystem.write(f"{places.saved_model}/{later}/saved_model.pb", b"theirs")
    third = release(models(tmp_path, "third"), places, "birds").version
    assert third == later + 1
    for folder in places.of().values():
        filesystem.remove(f"{folder}/{third}")
    assert release(models(tmp_path, "fourth"), places, "birds").version == third + 1


def test_files_that_are_released_already_are_that_release(sources, tmp_path, places):
    made = release(sources, places, "birds")
    assert release(sources, places, "birds") == made
    again = release(sources, places, "birds", rollback_to=made.version)
    assert again.version > made.version and again.rollback_to == made.version
    # Not if anything was changed, or another version came after it.
    filesystem.write(f"{places.edge}/{again.version}/bundle.json", b"altered")
    third = release(sources, places, "birds")
    assert third.version > again.version
    other = release(models(tmp_path, "second"), places, "birds")
    assert release(sources, places, "birds").version > other.version


def test_the_files_of_an_earlier_version_are_released_again_where_they_are_or_not_at_all(tmp_path, places):
    first, _ = (release(models(tmp_path, text), places, "birds") for text in ("first", "second"))
    paths = {name: part.path for name, part in first.parts().items()}
    files = {name: part.files for name, part in first.parts().items()}
    again = release(paths, places, "birds", rollback_to=first.version, expected=files)
    assert newest(places) == (again.version, again.version)
    assert {name: part.files for name, part in again.parts().items()} == files
    filesystem.write(f"{first.edge.path}/bundle.json", b"altered")
    with pytest.raises(PushError, match="its files are being changed"):
        release(paths, places, "birds", rollback_to=first.version, expected=files)
    assert newest(places) == (again.version, again.version)


def test_a_rollback_lasts_if_the_replaced_model_was_trained_or_exported_again(tmp_path, places):
    """Files of a SavedModel differ whenever it is exported, also if all weights are equal."""
    old, new = "0" * 64, "1" * 64
    first = release(models(tmp_path, "first"), places, "birds", weights_sha256=old)
    second = release(models(tmp_path, "second"), places, "birds", weights_sha256=new)
    back = release(models(tmp_path, "first"), places, "birds", rollback_to=first.version, weights_sha256=old)
    assert marker.read(places.of()[EDGE], back.version).weights_sha256 == old
    assert release(models(tmp_path, "exported again"), places, "birds", weights_sha256=new) == second
    assert newest(places) == (back.version, back.version)
    third = release(models(tmp_path, "another"), places, "birds", weights_sha256="2" * 64)
    assert newest(places) == (third.version, third.version)


def test_a_rollback_lasts_although_the_marker_of_the_replaced_model_is_from_before_weights_were_in_it(tmp_path, disk):
    def trained(name: str, values: list[float]) -> tuple[dict[str, str], str]:
        made = models(tmp_path, name)
        Path(made[SAVED_MODEL], "assets", "labels.txt").write_text("class names")
        tf.train.Checkpoint(kernel=tf.Variable(values)).write(f"{made[SAVED_MODEL]}/variables/variables")
        return made, weights_sha256(made[SAVED_MODEL])

    (old, _), (bad, _) = trained("first", [1.0, 2.0]), trained("second", [3.0, 4.0])
    first, second = release(old, disk, "birds"), release(bad, disk, "birds")
    back = release(old, disk, "birds", rollback_to=first.version)
    assert {made.weights_sha256 for made in (first, second, back)} == {""}
    again, weights = trained("trained again", [3.0, 4.0])
    assert release(again, disk, "birds", weights_sha256=weights, recipe_sha256="0" * 64) == second
    assert newest(disk) == (back.version, back.version)
    shutil.rmtree(second.saved_model.path)  # nobody can tell any more, nor roll back to it
    assert release(again, disk, "birds", weights_sha256=weights).version > back.version


@pytest.mark.parametrize("repaired", ["serving", "edge"])
def test_a_repaired_model_is_released_after_a_rollback_although_its_weights_are_those_of_the_replaced_one(
    tmp_path, disk, repaired
):
    """Weights leave out the graph that reads images, and the edge models: another recipe makes another model."""
    weights, old, bad, new = (digit * 64 for digit in "0123")
    known = {"weights_sha256": weights}
    first = release(models(tmp_path, "first"), disk, "birds", **known, recipe_sha256=old)
    second = release(models(tmp_path, "second"), disk, "birds", **known, recipe_sha256=bad)
    back = release(models(tmp_path, "first"), disk, "birds", rollback_to=first.version, **known, recipe_sha256=old)
    assert marker.read(disk.edge, back.version).recipe_sha256 == old
    # Trained again as the replaced one was; its weights are also those of the model that is served.
    assert release(models(tmp_path, "again"), disk, "birds", **known, recipe_sha256=bad) == second
    made = models(tmp_path, "second" if repaired == "edge" else "another")
    Path(made[EDGE], "model_float32.tflite").write_text("repaired")
    third = release(made, disk, "birds", **known, recipe_sha256=new)
    assert newest(disk) == (third.version, third.version) and third.recipe_sha256 == new


def test_a_model_that_a_rollback_replaced_is_not_released_again(tmp_path, places):
    first, second = (release(models(tmp_path, text), places, "birds") for text in ("first", "second"))
    back = release(models(tmp_path, "first"), places, "birds", rollback_to=first.version)
    # As after a changed text of the card, or with another signature: the bundle is another one, the model is not.
    again = models(tmp_path, "second")
    Path(again[EDGE], "bundle.json").write_text("another text")
    Path(again[SAVED_MODEL], "model.sig").write_text("another signature")
    assert release(again, places, "birds") == second
    assert newest(places) == (back.version, back.version)
    assert replaced(places, second.version).startswith(f"version {back.version}, a rollback to {first.version}, repl")
    assert replaced(places, back.version) is None
    for folder in places.of().values():  # but it is if anything of the rollback is gone: nobody serves it
        filesystem.remove(f"{folder}/{back.version}")
        third = release(again, places, "birds")
        assert newest(places) == (third.version, third.version) and third.version > back.version
        back = release(models(tmp_path, "first"), places, "birds", rollback_to=first.version)
    # What is new is released: another model, or another bundle of the one that is served.
    Path(models(tmp_path, "first")[EDGE], "bundle.json").write_text("another text")
    third = release({name: str(tmp_path / "first" / folder) for name, folder in FOLDERS.items()}, places, "birds")
    assert third.version > back.version and third.rollback_to is None
    assert release(again, places, "birds").version > third.version, "no rollback is the newest release"


def test_one_destination_for_both_models_is_refused(sources, tmp_path):
    with pytest.raises(PushError, match="is the destination of both models"):
        release(sources, Places(str(tmp_path / "one"), f"{tmp_path}/one/"), "birds")
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize("missing", [EDGE, SAVED_MODEL])
def test_an_empty_source_is_not_pushed(sources, disk, tmp_path, missing):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PushError, match="there is nothing to push"):
        release({**sources, missing: str(tmp_path / "empty")}, disk, "birds")
    assert not (tmp_path / "pushed").exists()


def test_nothing_of_a_release_is_seen_before_both_models_are_complete(sources, places, monkeypatch):
    """Readers see nothing until all is prepared, then the bundle, then the SavedModel, then the marker."""
    states: list[tuple[set[str], set[str], list[int]]] = []

    def watch(owner: object, name: str) -> None:
        plain = getattr(owner, name)

        def watching(*arguments, **options):
            bundle, model = ({name.partition("/")[2] for name in seen(folder)} for folder in places.of().values())
            states.append((bundle - {f"{v}.json" for v in marker.released(places.edge)}, model,
                           marker.released(places.edge)))  # fmt: skip
            return plain(*arguments, **options)

        monkeypatch.setattr(owner, name, watching)

    for owner, name in ((versions.Copy, "_copy"), (filesystem, "rename"), (os, "rename"), (marker, "write")):
        watch(owner, name)
    release(sources, places, "birds")
    shown = [(bool(bundle), bool(model), bool(markers)) for bundle, model, markers in states]
    copies = len(MODEL_FILES) + len(BUNDLE_FILES)
    assert shown[: copies + 1] == [(False, False, False)] * (copies + 1)
    assert sorted(shown) == shown and shown[-1] == (True, True, False)
    for bundle, model, _ in states:
        assert "SHA256SUMS" not in bundle or bundle == set(BUNDLE_FILES)
        assert "saved_model.pb" not in model or model == set(MODEL_FILES)
        assert not model or bundle == set(BUNDLE_FILES)


def test_altered_files_are_changed_lost_and_added_ones(tmp_path):
    folder = models(tmp_path, "first")[SAVED_MODEL]
    files = file_digests(folder)
    assert altered(folder, files) == []
    Path(folder, "saved_model.pb").write_text("changed")
    Path(folder, "assets", "labels.txt").unlink()
    Path(folder, "assets", "hook.py").write_text("print()")
    assert altered(folder, files) == ["assets/hook.py", "assets/labels.txt", "saved_model.pb"]


# --- failures


@pytest.mark.parametrize("existed", [True, False])
@pytest.mark.parametrize("broken", [EDGE, SAVED_MODEL])
def test_a_release_that_fails_while_it_is_prepared_leaves_nothing(tmp_path, places, monkeypatch, existed, broken):
    if existed:
        release(models(tmp_path, "first"), places, "birds")
    before, copy = everything(places), versions.Copy._copy
    last = {EDGE: "SHA256SUMS", SAVED_MODEL: "saved_model.pb"}[broken]

    def failing(self, one: str, target: str) -> None:
        if target.endswith(last):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copy(self, one, target)

    monkeypatch.setattr(versions.Copy, "_copy", failing)
    with pytest.raises(PushError, match="the push failed: No space left on device") as caught:
        release(models(tmp_path, "second"), places, "birds")
    assert caught.value.remedy == "free space there, or push elsewhere"
    assert caught.value.cause.startswith(places.of()[broken])
    assert everything(places) == before
    if not filesystem.is_remote(places.edge):
        assert Path(places.edge).exists() is existed and Path(places.saved_model).exists() is existed


def failing_after(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, good: int, error: BaseException) -> None:
    """Make a function fail from its call number `good` on, counted from 0."""
    plain, calls = getattr(owner, name), []

    def failing(*arguments, **options):
        calls.append(arguments)
        if len(calls) > good:
            raise error
        return plain(*arguments, **options)

    monkeypatch.setattr(owner, name, failing)


@pytest.mark.parametrize("step", ["switch", "marker"])
@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), KeyboardInterrupt()])
def test_a_release_that_fails_between_or_after_the_switches_leaves_nothing(
    sources, tmp_path, places, monkeypatch, step, error
):
    release(models(tmp_path, "earlier"), places, "birds")
    before = everything(places)
    with monkeypatch.context() as patch:
        owner = versions.Copy if step == "switch" else marker
        failing_after(patch, owner, "switch" if step == "switch" else "write", 1, error)
        with pytest.raises(PushError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
            release(sources, places, "birds")
    if isinstance(error, OSError):
        assert caught.value.remedy == "allow this user to write there, or push elsewhere"
    assert everything(places) == before
    assert complete(places) == []


def test_a_file_that_is_changed_while_it_is_copied_is_not_released(sources, places, monkeypatch):
    copy = versions.Copy._copy

    def changing(self, one: str, target: str) -> None:
        if one.endswith("bundle.json"):
            filesystem.write(one, b"changed")
        copy(self, one, target)

    monkeypatch.setattr(versions.Copy, "_copy", changing)
    with pytest.raises(PushError, match="bundle: was changed while it was copied"):
        release(sources, places, "birds")
    assert everything(places) == []


def test_a_failed_release_takes_the_saved_model_back_before_its_bundle(sources, disk, monkeypatch):
    removed, remove = [], versions.Copy.remove
    monkeypatch.setattr(versions.Copy, "remove", lambda copy: removed.append(copy.destination) or remove(copy))
    failing_after(monkeypatch, marker, "write", 1, OSError(errno.EACCES, "Permission denied"))
    with pytest.raises(PushError):
        release(sources, disk, "birds")
    assert removed == [disk.saved_model, disk.edge]


def test_a_release_that_has_its_marker_is_not_taken_back(sources, places, monkeypatch):
    """Readers have seen it: it was interrupted behind the marker, or another process completed it."""
    rename = filesystem.rename

    def interrupted_behind(one: str, other: str, **options: bool) -> None:
        rename(one, other, **options)
        if "/releases/" in other and "/." not in other:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(filesystem, "rename", interrupted_behind)
        with pytest.raises(KeyboardInterrupt):
            release(sources, places, "birds")
    [version] = marker.released(places.edge)
    assert newest(places) == (version, version)
    assert release(sources, places, "birds").version == version
    assert marker.released(places.edge, intent=True) == []


def test_a_release_of_which_nobody_knows_whether_it_has_a_marker_is_not_taken_back(sources, places, monkeypatch):
    """An object store that is failing has renamed the marker, says that it has not, and then cannot be listed."""
    rename, released = filesystem.rename, marker.released

    def unreachable(*_: object, **__: object) -> list[int]:
        raise OSError(errno.EIO, "unreachable")

    def renamed_and_lost(one: str, other: str, **options: bool) -> None:
        rename(one, other, **options)
        if "/releases/" in other and "/." not in other:
            monkeypatch.setattr(marker, "released", unreachable)
            unreachable()

    monkeypatch.setattr(filesystem, "rename", renamed_and_lost)
    with pytest.raises(PushError, match="unreachable"):
        release(sources, places, "birds")
    monkeypatch.setattr(marker, "released", released)
    monkeypatch.setattr(filesystem, "rename", rename)
    [version] = marker.released(places.edge)
    assert newest(places) == (version, version) and filesystem.versions(places.edge) == [version]
    complete(places)
    assert marker.released(places.edge, intent=True) == []


def test_a_destination_that_is_a_file_is_reported(sources, tmp_path):
    (tmp_path / "file").write_text("mine")
    for file in (tmp_path / "file", tmp_path / "file" / "below"):
        for destinations in (Places(str(file), str(tmp_path / "s")), Places(str(tmp_path / "e"), str(file))):
            with pytest.raises(PushError) as caught:
                release(sources, destinations, "birds")
            assert caught.value.remedy == "a file is in the way: move it, or push elsewhere"
    assert (tmp_path / "file").read_text() == "mine"


def test_files_of_somebody_who_does_not_claim_numbers_are_left_and_stop_the_release(sources, tmp_path, monkeypatch):
    places = Places(f"ram://theirs-{tmp_path.name}/edge", f"ram://theirs-{tmp_path.name}/model")
    rename = filesystem.rename

    def overtaken(one: str, other: str, **options: bool) -> None:
        if other.endswith("variables.index"):
            filesystem.make_folder(other.removesuffix("/variables.index"))
            filesystem.write(other, b"theirs")
        rename(one, other, **options)

    monkeypatch.setattr(filesystem, "rename", overtaken)
    with pytest.raises(PushError):
        release(sources, places, "birds")
    [left] = everything(places)
    assert left.endswith("/variables/variables.index") and filesystem.read(left) == b"theirs"


def test_a_version_that_is_there_already_is_not_overwritten(sources, places, monkeypatch):
    for folder in places.of().values():
        filesystem.make_folder(f"{folder}/7")
        filesystem.write(f"{folder}/7/theirs", b"theirs")
    monkeypatch.setattr(versions, "_next_version", lambda taken: 7)
    assert release(sources, places, "birds").version > 7
    assert [filesystem.files_of(f"{folder}/7") for folder in places.of().values()] == [["theirs"], ["theirs"]]


def test_an_object_store_without_empty_folders_gets_its_first_version(sources, tmp_path, monkeypatch):
    listdir = tf.io.gfile.listdir

    def of_objects(folder: str) -> list[str]:
        if not listdir(folder):
            raise tf.errors.NotFoundError(None, None, f"Could not find directory {folder}")
        return listdir(folder)

    monkeypatch.setattr(tf.io.gfile, "listdir", of_objects)
    places = Places(f"ram://objects-{tmp_path.name}/edge", f"ram://objects-{tmp_path.name}/model/")
    assert release(sources, places, "birds").version > time.time() - 60


def test_a_store_that_becomes_unreachable_is_a_push_error(sources, tmp_path, monkeypatch):
    def failing(*arguments: object, **options: object) -> None:
        raise tf.errors.UnavailableError(None, None, "no route to host")

    monkeypatch.setattr(tf.io.gfile, "copy", failing)
    monkeypatch.setattr(tf.io.gfile, "remove", failing)
    with pytest.raises(PushError, match="ram://gone.*: the push failed: no route to host"):
        release(sources, Places("ram://gone/edge", "ram://gone/model"), "birds")


# --- kills

PROGRAM = """
import os, signal, sys
from edgetune.modules.release import marker
from edgetune.modules.release.release import Places, release
from edgetune.modules.storage import versions

wanted, count = sys.argv[5], 0

def killing(owner, name, moment):
    plain = getattr(owner, name)
    def wrapped(*arguments, **options):
        global count
        if f"{moment} {count}" == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        return plain(*arguments, **options)
    setattr(owner, name, wrapped)

killing(versions.Copy, "write", "before step")
killing(versions.Copy, "switch", "before step")
killing(marker, "write", "before step")
sources = {"edge": sys.argv[1], "saved_model": sys.argv[2]}
release(sources, Places(sys.argv[3], sys.argv[4]), "birds")
"""
# Steps 0 and 1 copy the models, 2 writes the intent, 3 and 4 switch bundle and SavedModel, 5 writes the marker.
DECIDED = 3


@pytest.mark.parametrize("step", range(6))
def test_a_killed_release_is_completed_by_the_next_one_or_never_happened(tmp_path, root, disk, step):
    first = release(models(tmp_path, "first"), disk, "birds")
    second, third = models(tmp_path, "second"), models(tmp_path, "third")
    arguments = [second[EDGE], second[SAVED_MODEL], disk.edge, disk.saved_model, f"before step {step}"]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    model, _ = newest(disk)
    bundles = filesystem.versions(disk.edge)
    assert marker.released(disk.edge) == [first.version]
    assert model in bundles, "there is never a SavedModel without its bundle"
    assert (len(bundles), model == first.version) == ((1, True), (2, True), (2, False))[max(0, step - DECIDED)]

    completed = complete(disk)
    assert complete(disk) == []
    if step < DECIDED:
        assert completed == [] and newest(disk) == (first.version, first.version)
    else:
        [found] = completed
        assert newest(disk) == (found.version, found.version) and found.version > first.version
        assert {name: part.files for name, part in found.parts().items()} == {
            name: file_digests(path) for name, path in second.items()
        }
        assert release(second, disk, "birds") == found, "the run that is repeated releases nothing twice"
    last = release(third, disk, "birds")
    markers = marker.released(disk.edge)
    assert newest(disk) == (last.version, last.version) and len(markers) == (2 if step < DECIDED else 3)
    assert filesystem.versions(disk.edge) == filesystem.versions(disk.saved_model) == markers


def interrupted(places: Places, sources: dict[str, str], patch: pytest.MonkeyPatch, renamed: int) -> None:
    """Leave a store as a release that is killed after so many renames leaves it."""
    with patch.context() as inside:
        failing_after(inside, versions.Copy, "_rename", renamed, SystemError())
        inside.setattr(versions.Copy, "remove", lambda self: None)
        inside.setattr("edgetune.modules.release.release._undo", lambda *given: None)
        with pytest.raises(SystemError):
            release(sources, places, "birds")


@pytest.mark.parametrize("renamed", range(len(BUNDLE_FILES) + len(MODEL_FILES)))
def test_on_a_store_each_file_that_a_kill_left_behind_is_switched_later(sources, tmp_path, monkeypatch, renamed):
    places = Places(f"ram://killed-{tmp_path.name}/edge", f"ram://killed-{tmp_path.name}/model")
    interrupted(places, sources, monkeypatch, renamed)
    assert marker.released(places.edge) == [] and len(marker.released(places.edge, intent=True)) == 1
    [found] = complete(places)
    assert found.parts()[EDGE].files == file_digests(found.edge.path)
    assert found.parts()[SAVED_MODEL].files == file_digests(found.saved_model.path)
    assert len(everything(places)) == len(BUNDLE_FILES) + len(MODEL_FILES) + 1


@pytest.mark.parametrize("damage", ["altered", "lost", "intent", "elsewhere", "outside"])
def test_an_interrupted_release_whose_files_are_not_as_decided_is_not_completed(sources, tmp_path, monkeypatch, damage):
    places = Places(f"ram://damaged-{tmp_path.name}/edge", f"ram://damaged-{tmp_path.name}/model")
    interrupted(places, sources, monkeypatch, len(BUNDLE_FILES))
    [version] = marker.released(places.edge, intent=True)
    path = marker.path_of(places.edge, version, intent=True)
    found = json.loads(filesystem.read(path))
    if damage == "altered":
        filesystem.write(f"{places.saved_model}/.{version}.part/saved_model.pb", b"altered")
    elif damage == "lost":
        filesystem.remove(f"{places.saved_model}/.{version}.part/saved_model.pb")
    elif damage == "intent":
        filesystem.write(path, b"{")
    elif damage == "elsewhere":
        found["saved_model"]["path"] = f"{tmp_path}/{version}"
        filesystem.write(path, json.dumps(found).encode())
    else:
        found["saved_model"]["files"]["../../../x"] = "0" * 64
        filesystem.write(path, json.dumps(found).encode())
    assert complete(places) == [] and marker.released(places.edge) == []
    assert filesystem.versions(places.saved_model) == []
    other = release(models(tmp_path, "second"), places, "birds")
    assert other.version > version and newest(places) == (other.version, other.version)


# --- several at once


@pytest.mark.parametrize("rounds", [25])
def test_two_releases_at_once_lose_nothing_and_mix_nothing(tmp_path, places, rounds):
    made: list[marker.Release] = []

    def often(name: str) -> None:
        for number in range(rounds):
            made.append(release(models(tmp_path, f"{name}-{number}"), places, name))
            shutil.rmtree(tmp_path / f"{name}-{number}")

    both = [threading.Thread(target=often, args=(name,)) for name in ("one", "other")]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    numbers = sorted(found.version for found in made)
    assert len(set(numbers)) == 2 * rounds
    assert numbers == marker.released(places.edge)
    assert numbers == filesystem.versions(places.edge) == filesystem.versions(places.saved_model)
    for found in made:
        assert marker.read(places.edge, found.version) == found
        texts = {name: filesystem.read(f"{part.path}/{sorted(part.files)[0]}") for name, part in found.parts().items()}
        assert len({text.split()[2] for text in texts.values()}) == 1, "both models are of one run"
        assert all(file_digests(part.path) == part.files for part in found.parts().values())
    assert len(everything(places)) == 2 * rounds * (len(BUNDLE_FILES) + len(MODEL_FILES) + 1)


def test_two_that_complete_one_interrupted_release_at_once_do_the_same(sources, tmp_path, monkeypatch):
    places = Places(f"ram://both-{tmp_path.name}/edge", f"ram://both-{tmp_path.name}/model")
    interrupted(places, sources, monkeypatch, 2)
    both = [threading.Thread(target=complete, args=(places,)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    [version] = marker.released(places.edge)
    found = marker.read(places.edge, version)
    assert all(file_digests(part.path) == part.files for part in found.parts().values())
    assert len(everything(places)) == len(BUNDLE_FILES) + len(MODEL_FILES) + 1
