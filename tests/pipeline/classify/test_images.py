"""Files, folders and standard input name the images of a command."""

from __future__ import annotations

import io
import os
import shutil
import sys
import types
from pathlib import Path

import pytest

from edgetune.modules.core.errors import ConfigError, DataError
from edgetune.pipeline.classify.images import from_stream, images_in, listed


def stream(content: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(content))


@pytest.fixture
def piped(monkeypatch):
    """Return a function that puts bytes into standard input."""

    def put(content: bytes, terminal: bool = False) -> None:
        stand_in = types.SimpleNamespace(buffer=stream(content), isatty=lambda: terminal)
        monkeypatch.setattr(sys, "stdin", stand_in)

    return put


def test_folders_are_searched_in_order_without_hidden_files(tmp_path):
    for name in ("b/2.jpg", "b/1.jpg", "a.png", ".hidden/x.jpg", "b/.DS_Store", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in images_in(tmp_path)]
    assert found == ["a.png", "b/1.jpg", "b/2.jpg"]
    shutil.rmtree(tmp_path / "b")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="contains no files"):
        list(images_in(tmp_path / "b"))


@pytest.mark.parametrize(
    "start",
    [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"II*\0", b"\0\0\0\x18ftypheic"],
)
def test_an_image_on_standard_input_is_one_image(start):
    content = start + bytes(100_000)
    assert list(from_stream(stream(content))) == [("-", content)]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"a.jpg\nb c.png\n", ["a.jpg", "b c.png"]),
        (b"a.jpg\r\n\r\nb.png", ["a.jpg", "b.png"]),
        (b"new\nline.jpg\0b.png\0", ["new\nline.jpg", "b.png"]),
        (b"BMW/1.jpg\nRIFF.jpg\n", ["BMW/1.jpg", "RIFF.jpg"]),
        ("ünï.jpg\n".encode(), ["ünï.jpg"]),
        (b"", []),
    ],
)
def test_names_are_one_on_each_line_or_before_each_nul(content, names):
    assert [path for _, path in from_stream(stream(content))] == list(map(Path, names))


def test_thousands_of_names_are_not_read_before_they_are_asked_for():
    reader, writer = os.pipe()
    os.write(writer, b"first.jpg\n")
    with open(reader, "rb") as names:
        found = from_stream(names)
        assert next(found) == ("first.jpg", Path("first.jpg"))  # while the pipe is still open
        os.close(writer)
        assert list(found) == []


def test_folders_that_standard_input_names_are_searched(tmp_path, piped):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "empty").mkdir()
    piped(f"{tmp_path}\n{tmp_path / 'empty'}\n{tmp_path / 'gone.jpg'}\n".encode())
    images, total = listed([Path("-")])
    (first, _), (second, error), (third, path) = images
    assert total is None and first == str(tmp_path / "a.jpg") and third == str(path)
    assert second == str(tmp_path / "empty") and isinstance(error, DataError)


def test_what_cannot_be_listed_is_told(tmp_path, piped):
    with pytest.raises(DataError, match=r"absent\.jpg: does not exist"):
        listed([tmp_path / "absent.jpg"])
    with pytest.raises(DataError, match="and 1 more: none exists"):
        listed([tmp_path / str(number) for number in range(4)])
    (tmp_path / "a.jpg").touch()
    images, total = listed([tmp_path / "a.jpg", tmp_path / "absent.jpg"])
    assert total == 2 and [name for name, _ in images] == [str(tmp_path / "a.jpg"), str(tmp_path / "absent.jpg")]
    piped(b"", terminal=True)
    with pytest.raises(ConfigError, match="standard input is a terminal"):
        listed([Path("-")])
    with pytest.raises(ConfigError, match="given twice"):
        listed([Path("-"), Path("-")])
