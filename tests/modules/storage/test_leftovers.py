"""Folders of dead processes are swept, and never those of living ones."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from edgetune.modules.core.errors import MachineError
from edgetune.modules.storage import leftovers
from edgetune.modules.storage.leftovers import mark, sweep_parts, temporary_folder

PART = ".7.part"
HOLD = """
import sys, time
from pathlib import Path
from edgetune.modules.storage.leftovers import mark, temporary_folder
if sys.argv[1:]:
    lock = mark(Path(sys.argv[1]))
    print(sys.argv[1], flush=True)
else:
    held = temporary_folder()
    folder = held.__enter__()
    (folder / "beam-temp").mkdir()
    print(folder, flush=True)
time.sleep(60)
"""


def holder(root: Path, *arguments: str, **environment: str) -> tuple[subprocess.Popen, Path]:
    """Start a process that holds a folder, and return it with the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, **environment},
    )
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


def age(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time.time() - leftovers.QUIET_SECONDS - 9,) * 2)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    folder = tmp_path / "served" / PART
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text("half")
    age(folder)
    return folder


def test_temporary_files_of_a_killed_process_are_removed_by_the_next_and_of_a_living_one_kept(
    root, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "beam-of-somebody-else").mkdir()
    process, folder = holder(root, TMPDIR=str(tmp_path))
    try:
        with temporary_folder() as own:
            assert own.parent == folder.parent == tmp_path and own.stat().st_mode & 0o777 == 0o700
            assert (folder / "beam-temp").exists()
            (own / "full").write_text("of files")
        assert not own.exists() and folder.exists()
    finally:
        end(process)
    with temporary_folder():
        assert not folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["beam-of-somebody-else"]


def test_a_link_in_the_place_of_a_temporary_folder_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with temporary_folder() as own:
        link, file = (own.with_name(f"{own.name[:-8]}{name}") for name in ("linked__", "a_file__"))
    link.symlink_to(tmp_path / "mine")
    file.touch()
    with temporary_folder():
        pass
    assert (tmp_path / "mine" / "file").exists() and file.exists()


def test_a_folder_of_another_machine_is_left_alone_where_locks_hold_for_each_machine_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as own:
        machine = own.name[len("edgetune-run-") : -len("-abcdefgh")]
    others, dead = (tmp_path / f"edgetune-run-{name}-abcdefgh" for name in (machine[::-1], machine))
    for folder in (others, dead):
        folder.mkdir()
    with temporary_folder():
        assert others.exists() and not dead.exists()
    assert machine == hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8] != machine[::-1]


def test_what_containers_with_another_name_each_night_left_is_removed_after_a_day_unless_it_is_in_use(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = ("of_a_night-abcdefgh", "of_old_versions", "in_use-abcdefgh", "changed-abcdefgh")
    dead, old, used, changed = (tmp_path / f"edgetune-run-{name}" for name in names)
    somebody_elses = tmp_path / "edgetune-other"
    for folder in (dead, old, used, changed, somebody_elses):
        (folder / "beam-temp").mkdir(parents=True)
        for path in (folder / "beam-temp", folder):
            os.utime(path, (time.time() - leftovers.FOREIGN_QUIET_SECONDS - 9,) * 2)
    os.utime(changed / "beam-temp")
    lock = mark(used)
    with temporary_folder():
        assert not dead.exists() and not old.exists()
        assert used.exists() and changed.exists() and somebody_elses.exists()
    os.close(lock)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_place_for_temporary_files_without_locks_is_told_as_such_and_nothing_stays(tmp_path, monkeypatch, number):
    def without_locks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(leftovers.fcntl, "flock", without_locks)
    with pytest.raises(MachineError, match=f"{tmp_path}: files there cannot be locked") as caught, temporary_folder():
        pytest.fail("it began")
    assert "TMPDIR" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_a_dead_push_is_swept(part):
    assert sweep_parts(part.parent) == [part]
    assert not part.exists()


def test_a_part_of_a_living_push_is_kept(root, part):
    process, _ = holder(root, str(part))
    try:
        assert sweep_parts(part.parent) == []
    finally:
        end(process)
    assert sweep_parts(part.parent) == [part]


def test_a_part_that_changed_lately_is_kept_because_another_machine_may_write_it(part):
    (part / "saved_model.pb").write_text("more")
    assert sweep_parts(part.parent) == []


@pytest.mark.parametrize("name", ["7", ".7.0a.part", ".x7.part", "notes.part"])
def test_what_is_not_named_as_a_push_names_it_is_kept(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    age(folder)
    assert sweep_parts(tmp_path) == [] and folder.exists()


def test_a_part_whose_release_is_decided_is_kept(part):
    assert sweep_parts(part.parent, decided=[7]) == []
    assert sweep_parts(part.parent, decided=[8]) == [part]


def test_a_mark_ends_with_its_descriptor(part):
    lock = mark(part)
    assert sweep_parts(part.parent) == []
    os.close(lock)
    assert sweep_parts(part.parent) == [part]
