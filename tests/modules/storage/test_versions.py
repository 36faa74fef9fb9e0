"""A push publishes a complete folder or nothing."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import tensorflow as tf

from edgetune.modules.core.errors import PushError
from edgetune.modules.storage import versions as module
from edgetune.modules.storage.filesystem import files_of


def push(source: str, destination: str) -> module.Pushed:
    return module.push(source, destination, last="saved_model.pb")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder with the files of a SavedModel."""
    folder = tmp_path / "source"
    for name in ("saved_model.pb", "assets/labels.txt", "variables/variables.index"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 1000)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_version_is_the_time_and_its_content_is_the_source(source, tmp_path):
    before = int(time.time())
    pushed = push(str(source), str(tmp_path / "deep" / "served"))
    assert before <= int(pushed.version) <= time.time()
    assert Path(pushed.path) == tmp_path / "deep" / "served" / pushed.version
    assert content(Path(pushed.path)) == content(source)
    assert [path.name for path in (tmp_path / "deep" / "served").iterdir()] == [pushed.version]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
@pytest.mark.parametrize(
    ("policy", "file", "folder"), [(0o755, 0o644, 0o755), (0o750, 0o640, 0o750), (0o700, 0o600, 0o700)]
)
def test_whoever_may_read_the_destination_may_read_what_is_pushed(source, tmp_path, umask, policy, file, folder):
    (tmp_path / "served").mkdir()
    (tmp_path / "served").chmod(policy)
    before = os.umask(umask)
    try:
        # The folders between are made by the push.
        pushed = Path(push(str(source), str(tmp_path / "served" / "birds" / "saved_model")).path)
    finally:
        os.umask(before)
    writable = 0o022 & ~umask
    for path in (*pushed.rglob("*"), pushed, pushed.parent, pushed.parents[1]):
        mode = path.stat().st_mode & 0o777
        assert mode & ~writable == (folder if path.is_dir() else file), path


def test_what_a_killed_push_left_is_swept_by_the_next(source, tmp_path):
    left = tmp_path / "served" / f".7.{'0a' * 16}.part"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    pushed = push(str(source), str(tmp_path / "served"))
    assert [path.name for path in (tmp_path / "served").iterdir()] == [pushed.version]


def test_a_newer_push_has_a_larger_version_even_in_the_same_second_or_after_the_clock_was_set_back(source, tmp_path):
    first, second = (int(push(str(source), str(tmp_path / "served")).version) for _ in range(2))
    assert second > first
    (tmp_path / "served" / "99999999999").mkdir()
    assert push(str(source), str(tmp_path / "served")).version == "100000000000"


def test_a_version_that_appeared_meanwhile_is_not_overwritten(source, tmp_path, monkeypatch):
    taken = tmp_path / "served" / "7"
    taken.mkdir(parents=True)
    (taken / "theirs").write_text("theirs")
    monkeypatch.setattr(module, "_next_version", lambda names: 7)
    assert push(str(source), str(tmp_path / "served")).version == "8"
    assert content(taken) == {"theirs": b"theirs"}


def test_a_push_is_hidden_until_it_is_complete(source, tmp_path, monkeypatch):
    seen: list[list[str]] = []
    copy = module._copy_synced

    def watching(one: str, target: Path) -> None:
        seen.append([path.name for path in (tmp_path / "served").iterdir()])
        copy(one, target)

    monkeypatch.setattr(module, "_copy_synced", watching)
    push(str(source), str(tmp_path / "served"))
    assert len(seen) == 3
    assert all(name.startswith(".") and name.endswith(".part") for names in seen for name in names)


@pytest.mark.parametrize("existed", [True, False])
def test_a_push_that_fails_midway_leaves_nothing(source, tmp_path, monkeypatch, existed):
    served = tmp_path / "served"
    if existed:
        served.mkdir()
        push(str(source), str(served))
    before = content(served) if existed else {}
    copy, copied = module._copy_synced, []

    def failing(one: str, target: Path) -> None:
        if len(copied) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copied.append(target)
        copy(one, target)

    monkeypatch.setattr(module, "_copy_synced", failing)
    with pytest.raises(PushError, match="the push failed: No space left on device") as caught:
        push(str(source), str(served))
    assert len(copied) == 2
    assert caught.value.remedy == "free space there, or push elsewhere"
    assert str(served) in caught.value.cause
    assert served.exists() is existed
    if existed:
        assert content(served) == before
        assert len(list(served.iterdir())) == 1


def test_a_destination_that_is_a_file_is_reported(source, tmp_path):
    (tmp_path / "file").write_text("mine")
    for destination in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(PushError) as caught:
            push(str(source), str(destination))
        assert caught.value.remedy == "a file is in the way: move it, or push elsewhere"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_destination_without_write_permission_is_reported(source, tmp_path, monkeypatch):
    # Simulated, because root may write everywhere.
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PushError, match="Permission denied") as caught:
        push(str(source), str(tmp_path / "served"))
    assert caught.value.remedy == "allow this user to write there, or push elsewhere"


def test_an_empty_source_is_not_pushed(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PushError, match="there is nothing to push"):
        push(str(tmp_path / "empty"), str(tmp_path / "served"))
    assert not (tmp_path / "served").exists()


def test_on_a_url_the_completing_file_is_written_last(source, monkeypatch):
    copied: list[str] = []
    copy = tf.io.gfile.copy
    monkeypatch.setattr(tf.io.gfile, "copy", lambda one, other: (copied.append(other), copy(one, other)))
    pushed = push(str(source), "ram://bucket/served/")
    assert pushed.path == f"ram://bucket/served/{pushed.version}"
    assert [name.removeprefix(f"{pushed.path}/") for name in copied] == [
        "assets/labels.txt",
        "variables/variables.index",
        "saved_model.pb",
    ]
    with tf.io.gfile.GFile(f"{pushed.path}/saved_model.pb", "rb") as file:
        assert file.read() == (source / "saved_model.pb").read_bytes()
    assert int(push(str(source), "ram://bucket/served").version) > int(pushed.version)


def test_a_push_to_a_url_that_fails_midway_leaves_nothing(source, monkeypatch):
    copy = tf.io.gfile.copy

    def failing(one: str, other: str) -> None:
        if other.endswith(".pb"):
            raise tf.errors.ResourceExhaustedError(None, None, "quota")
        copy(one, other)

    monkeypatch.setattr(tf.io.gfile, "copy", failing)
    with pytest.raises(PushError, match="ram://full: the push failed: quota"):
        push(str(source), "ram://full")
    assert files_of("ram://full") == [] and "1" not in str(tf.io.gfile.listdir("ram://full"))


def test_an_object_store_without_empty_folders_gets_its_first_version(source, monkeypatch):
    listdir = tf.io.gfile.listdir

    def of_objects(folder: str) -> list[str]:
        if not listdir(folder):
            raise tf.errors.NotFoundError(None, None, f"Could not find directory {folder}")
        return listdir(folder)

    monkeypatch.setattr(tf.io.gfile, "listdir", of_objects)
    first, second = (int(push(str(source), "ram://objects/served").version) for _ in range(2))
    assert second > first > time.time() - 60


def test_a_store_that_becomes_unreachable_during_a_push_is_a_push_error(source, monkeypatch):
    def failing(*arguments: object) -> None:
        raise tf.errors.UnavailableError(None, None, "no route to host")

    monkeypatch.setattr(tf.io.gfile, "copy", failing)
    monkeypatch.setattr(tf.io.gfile, "rmtree", failing)
    with pytest.raises(PushError, match="ram://gone: the push failed: no route to host"):
        push(str(source), "ram://gone")


# --- several pushers at once


def push_often(source: Path, destination: str, rounds: int, pushed: list[module.Pushed]) -> None:
    for number in range(rounds):
        own = source.parent / f"{source.name}-{threading.get_ident()}-{number}"
        shutil.copytree(source, own)
        (own / "whose").write_text(own.name)
        pushed.append(module.push(str(own), destination, last="saved_model.pb"))


@pytest.mark.parametrize("store", ["disk", "url"])
def test_two_pushers_at_once_lose_nothing(source, tmp_path, store):
    destination = str(tmp_path / "served") if store == "disk" else f"ram://race-{tmp_path.name}"
    pushed: list[module.Pushed] = []
    both = [threading.Thread(target=push_often, args=(source, destination, 50, pushed)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(pushed) == len({one.path for one in pushed}) == 100
    names = {"saved_model.pb", "assets/labels.txt", "variables/variables.index", "whose"}
    assert {one.path: set(files_of(one.path)) for one in pushed} == {one.path: names for one in pushed}
    assert len(files_of(destination)) == 100 * len(names)
    whose = [tf.io.gfile.GFile(f"{one.path}/whose").read() for one in pushed]
    assert len(set(whose)) == 100


def test_a_pusher_that_loses_a_number_on_a_url_leaves_the_winners_files(source, monkeypatch):
    tf.io.gfile.makedirs("ram://lost/7")
    for name in ("saved_model.pb", "theirs"):
        tf.io.gfile.GFile(f"ram://lost/7/{name}", "w").write("theirs")
    monkeypatch.setattr(module, "_next_version", lambda names: 7)
    assert int(push(str(source), "ram://lost").version) > 7
    copy = tf.io.gfile.copy

    def failing(one: str, other: str) -> None:
        if "saved_model" in other:
            raise tf.errors.ResourceExhaustedError(None, None, "quota")
        copy(one, other)

    monkeypatch.setattr(tf.io.gfile, "copy", failing)
    with pytest.raises(PushError, match="quota"):
        push(str(source), "ram://lost")
    assert files_of("ram://lost/7") == ["saved_model.pb", "theirs"]


def test_a_file_that_somebody_else_wrote_into_the_version_is_not_removed(source, monkeypatch):
    copy = tf.io.gfile.copy

    def overtaken(one: str, other: str) -> None:
        if other.endswith("variables.index"):
            tf.io.gfile.GFile(other, "w").write("theirs")
            raise tf.errors.AlreadyExistsError(None, None, "it exists")
        copy(one, other)

    monkeypatch.setattr(tf.io.gfile, "copy", overtaken)
    with pytest.raises(PushError, match="it exists"):
        push(str(source), "ram://overtaken")
    [left] = files_of("ram://overtaken")
    assert left.endswith("/variables/variables.index")
