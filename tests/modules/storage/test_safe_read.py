"""Files in untrusted folders: reads do not block, are limited in size and stay inside the folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from edgetune.modules.core import bounds
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.safe_read import UnreadableFile, read_file


def reason(path: Path | str, base: Path, max_bytes: int = 100) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read_file(str(path), str(base), max_bytes)
    return str(caught.value)


def test_an_ordinary_file_is_read_whole(tmp_path):
    (tmp_path / "a b\n.jpg").write_bytes(b"x" * 100)
    assert read_file(f"{tmp_path}/a b\n.jpg", str(tmp_path), 100) == b"x" * 100
    (tmp_path / "empty").touch()
    assert read_file(f"{tmp_path}/empty", str(tmp_path), 100) == b""


def test_a_file_above_the_size_limit_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 101)
    assert reason(tmp_path / "a", tmp_path) == "larger than the 100 bytes that an image of data.max_pixels can have"
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    assert reason(tmp_path / "sparse", tmp_path).startswith("larger than the 100 bytes")


def test_the_size_limit_fits_any_image_of_max_pixels():
    assert bounds.max_file_bytes(1_000_000) >= 4 * 2 * 1_000_000


def test_folders_pipes_sockets_and_devices_are_refused_without_blocking(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # paths of sockets must be short
    (tmp_path / "x.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jpg")
    assert reason(tmp_path / "x.jpg", tmp_path) == "a folder, not a file"
    assert reason(tmp_path / "pipe.jpg", tmp_path) == "a named pipe, not a file"
    assert reason(tmp_path / "socket.jpg", tmp_path) == "a socket, not a file"
    assert reason("/dev/zero", Path("/dev")) == "a device, not a file"


def test_a_file_that_is_replaced_by_a_pipe_does_not_block(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    path.touch()
    before = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(os, "stat", lambda *_, **__: before)
    assert reason(path, tmp_path) == "a named pipe, not a file"


def test_a_link_is_followed_only_inside_the_folder(tmp_path):
    base = tmp_path / "base"
    (base / "cat").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (base / "cat" / "a").write_bytes(b"a")
    (base / "cat" / "inside").symlink_to("a")
    (base / "cat" / "outside").symlink_to("../../secret")
    (base / "cat" / "nowhere").symlink_to("absent")
    (base / "cat" / "circle").symlink_to("circle")
    (base / "dog").symlink_to(tmp_path)
    assert read_file(f"{base}/cat/inside", str(base), 9) == b"a"
    for name in ("cat/outside", "dog/secret"):
        assert reason(base / name, base).startswith("a link that leads out of the folder of images")
    assert reason(base / "cat/nowhere", base) == "a link to a file that does not exist"
    assert reason(base / "cat/circle", base).startswith("cannot be read: Too many levels of symbolic links")
    (tmp_path / "base2").mkdir()
    (tmp_path / "base2" / "x").touch()
    (base / "cat" / "sibling").symlink_to("../../base2/x")
    assert reason(base / "cat/sibling", base).startswith("a link that leads out")


def test_the_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"a")
    (tmp_path / "base").symlink_to("real")
    assert read_file(f"{tmp_path}/base/a", f"{tmp_path}/base", 9) == b"a"


def test_missing_and_forbidden_files_are_reported(tmp_path, monkeypatch):
    assert reason(tmp_path / "absent", tmp_path) == "does not exist"
    (tmp_path / "a").touch()

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # instead of by the file's mode, because root may read everything
    assert reason(tmp_path / "a", tmp_path) == "cannot be read: Permission denied"


def test_a_url_is_read_through_tensorflow(tmp_path):
    """`ram://` stands in for `gs://`: TensorFlow supports both, Python neither."""
    import tensorflow as tf

    with tf.io.gfile.GFile("ram://safe_read/cat/a.jpg", "wb") as file:
        file.write(b"x" * 10)
    assert read_file("ram://safe_read/cat/a.jpg", "ram://safe_read", 10) == b"x" * 10
    with pytest.raises(UnreadableFile, match="larger than the 9 bytes"):
        read_file("ram://safe_read/cat/a.jpg", "ram://safe_read", 9)
    with pytest.raises(UnreadableFile, match="does not exist"):
        read_file("ram://safe_read/cat/absent.jpg", "ram://safe_read", 9)
    assert filesystem.names("ram://safe_read/cat") == ["a.jpg"]
    assert filesystem.size_and_time("ram://safe_read/cat/a.jpg")[0] == 10
    assert filesystem.size_and_time("ram://safe_read/cat/absent.jpg") is None


@pytest.mark.parametrize(
    ("wanted", "there"), [("a.PNG", "a.png"), ("dog1.jpg", "Dog1.JPG"), ("IMG_1.jpg", "img_1.jpg")]
)
def test_a_file_whose_name_differs_by_capitals_is_named(tmp_path, wanted, there):
    with pytest.raises(UnreadableFile, match="^does not exist$"):
        read_file(f"{tmp_path}/{wanted}", str(tmp_path), 9)
    (tmp_path / there).touch()
    with pytest.raises(UnreadableFile, match=f"^does not exist, but {there} does: capitals count$"):
        read_file(f"{tmp_path}/{wanted}", str(tmp_path), 9)
