"""A folder with everything that a folder of images should not have: every file is counted, and nothing breaks."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfx.types import standard_artifacts

from edgetune.components.common.artifacts import IngestReport
from edgetune.components.image_example_gen import ImageExampleGen, read_images
from edgetune.components.image_example_gen.driver import Driver
from edgetune.components.image_example_gen.executor import Executor
from edgetune.modules.core.errors import DataError
from edgetune.modules.data.sources import discover
from edgetune.modules.examples import records
from edgetune.modules.images import pillow_process
from edgetune.modules.settings.run import DataSettings
from tests.helpers import beam_context, crashing_decoder
from tests.programs.fuzz_seeds import generated

PNG = generated()["PNG RGB"]
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def picture(number: int) -> bytes:
    """Return a PNG of noise, so that no two resemble each other."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 21, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def good(base: Path, *labels: str, count: int = 12) -> None:
    for position, label in enumerate(labels):
        (base / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (base / label / f"{number}.jpg").write_bytes(picture(100 * position + number))


def execute(base: Path | str, into: Path, **changes: object) -> tuple[dict, dict[str, str], set[bytes]]:
    """Run the executor, and return the content of ingest.json, the reason by rejected path, and all sources."""
    settings = DataSettings(path=str(base), **{"min_examples_per_class": 1, "max_rejected": 1.0, **changes})
    component = ImageExampleGen(discover(settings), settings)
    artifact, report = standard_artifacts.Examples(), IngestReport()
    artifact.uri, report.uri = str(into / "examples" / "7"), str(into / "report" / "7")
    outputs = {"examples": [artifact], "report": [report]}
    Executor(beam_context.context(into)).Do({}, outputs, dict(component.exec_properties))
    ingest = json.loads((into / "report" / "7" / "ingest.json").read_text())
    sources = {
        tf.train.Example.FromString(record.numpy()).features.feature["source"].bytes_list.value[0]
        for split in ("train", "eval", "test")
        for record in records.serialized(artifact.uri, split)
    }
    return ingest, _rejected(into / "report" / "7" / "rejected.csv"), sources


def _rejected(path: Path) -> dict[str, str]:
    with open(path, newline="", encoding="utf-8") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def fill(base: Path, outside: Path) -> dict[str, str]:
    """Add bad files to the class `cat`, and return the beginning of the expected reason by path."""
    cat, name = base / "cat", os.fsdecode(b"not \xff utf-8.jpg")
    (outside / "secret.jpg").write_bytes(PNG)
    for file, content in {
        "empty.jpg": b"",
        "pointer.jpg": LFS,
        "cut.png": PNG[: len(PNG) // 2],
        'line\nbreak, "quoted".jpg': b"text",
        "return\rhere.jpg": b"text",
        "größe 图 😀.jpg": b"text",
        name: b"text",
        "notes.txt": b"text",
    }.items():
        (cat / file).write_bytes(content)
    (cat / "folder.jpg").mkdir()
    (cat / "folder.jpg" / "deep.jpg").write_bytes(PNG)
    (cat / "outside.jpg").symlink_to(outside / "secret.jpg")
    (cat / "nowhere.jpg").symlink_to("absent.jpg")
    (base / "stray.jpg").write_bytes(PNG)
    os.mkfifo(cat / "pipe.jpg")
    here = Path.cwd()
    os.chdir(cat)  # the path of a socket has to be short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("socket.jpg")
    finally:
        os.chdir(here)
    return {
        "cat/empty.jpg": "the file is empty",
        "cat/pointer.jpg": "a Git LFS pointer, not the image itself: run `git lfs pull`",
        "cat/cut.png": "damaged: ",
        'cat/line\nbreak, "quoted".jpg': "not an image of a known format",
        "cat/return\rhere.jpg": "not an image of a known format",
        "cat/größe 图 😀.jpg": "not an image of a known format",
        "cat/not \\udcff utf-8.jpg": "not an image of a known format",
        "cat/outside.jpg": "a link that leads out of the folder",
        "cat/nowhere.jpg": "a link to a file that does not exist",
        "cat/pipe.jpg": "a named pipe, not a file",
        "cat/socket.jpg": "a socket, not a file",
        "stray.jpg": "outside the class folders, so it has no label",
    }


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    base, outside = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("outside")
    good(base, "cat", "dog")
    expected = fill(base, outside)
    odd = os.fsencode(base) + b"/dog/good \xff\n.jpg"
    Path(os.fsdecode(odd)).write_bytes(picture(900))
    (base / "dog" / "wrong extension.txt").write_bytes(picture(901))
    return base, expected


def test_everything_is_accepted_or_rejected_with_its_reason(hostile, tmp_path):
    base, expected = hostile
    ingest, rejected, sources = execute(base, tmp_path)
    assert set(rejected) == set(expected)
    for path, reason in rejected.items():
        assert reason.startswith(expected[path]), (path, reason)
    assert {b"dog/good \xff\n.jpg", b"dog/wrong extension.txt", b"cat/folder.jpg/deep.jpg"} <= sources
    assert (ingest["accepted"], ingest["rejected"], ingest["not_images_by_kind"]) == (27, 12, {".txt": 1})
    assert ingest["files"] == sum(len(files) for _, _, files in os.walk(base)) == 40


def test_above_max_rejected_ten_files_are_named_and_the_whole_list_is_kept(hostile, tmp_path):
    base, expected = hostile
    with pytest.raises(DataError) as caught:
        execute(base, tmp_path, max_rejected=0.3)
    cause, remedy = caught.value.cause, caught.value.remedy
    assert cause.startswith("12 of 39 files (30.8%) cannot be used as images, more than data.max_rejected 30.0%")
    assert len(cause.splitlines()) == 11
    assert r"cat/line\nbreak, " in cause
    kept = tmp_path / "report" / "7-rejected.csv"  # beside the output, which TFX removes
    assert str(kept) in remedy
    assert set(_rejected(kept)) == set(expected)


def test_a_file_that_ends_its_decoder_is_rejected_and_the_run_goes_on(tmp_path, monkeypatch):
    good(tmp_path / "data", "cat", "dog")
    content = io.BytesIO()
    Image.new("P", (30, 20)).save(content, "GIF")
    (tmp_path / "data" / "cat" / "3.jpg").write_bytes(content.getvalue())
    pillow_process._end_idle()
    crashing_decoder.start(monkeypatch, "ctypes.string_at(0)")
    ingest, rejected, sources = execute(tmp_path / "data", tmp_path / "made")
    pillow_process._end_idle()
    assert rejected == {"cat/3.jpg": "it ends the process that decodes it (SIGSEGV)"}
    assert (ingest["files"], ingest["accepted"], len(sources)) == (24, 23, 23)


def test_a_file_that_vanishes_is_rejected(tmp_path, monkeypatch):
    good(tmp_path / "data", "cat", "dog")
    real = read_images.read_file

    def vanish(path: str, base: str, most: int) -> bytes:
        if path.endswith("cat/3.jpg"):
            Path(path).unlink()
        return real(path, base, most)

    monkeypatch.setattr(read_images, "read_file", vanish)
    ingest, rejected, _ = execute(tmp_path / "data", tmp_path / "made")
    assert rejected == {"cat/3.jpg": "does not exist"}
    assert (ingest["files"], ingest["accepted"]) == (24, 23)


def test_a_list_is_read_and_its_missing_file_is_rejected(tmp_path):
    base = tmp_path / "data"
    good(base, "a", "b", count=6)
    lines = [
        f"{folder}/{number}.jpg,class {folder},{split}\n"
        for folder in "ab"
        for number, split in enumerate(("train", "train", "val", "val", "test", "test"))
    ]
    lines += ["a/absent.jpg,class a,train\n"]
    (base / "list.csv").write_text("path,label,split\n" + "".join(lines))
    ingest, rejected, sources = execute(base / "list.csv", tmp_path / "made")
    assert rejected == {"a/absent.jpg": "does not exist"}
    assert ingest["splits"] == {split: {"class a": 2, "class b": 2} for split in ("train", "eval", "test")}
    assert sources == {f"{folder}/{number}.jpg".encode() for folder in "ab" for number in range(6)}
    assert ingest["files"] == len(lines)


# --- fingerprints


def fingerprint(path: Path | str) -> str:
    settings = DataSettings(path=str(path), min_examples_per_class=1)
    component = ImageExampleGen(discover(settings), settings)
    return Driver(None).resolve_exec_properties(dict(component.exec_properties), None, None)["input_fingerprint"]


def test_a_fingerprint_changes_with_every_file_and_copes_with_hostile_files(hostile, tmp_path):
    assert len(fingerprint(hostile[0])) == 64
    good(tmp_path, "cat", "dog", count=3)
    before = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == before
    (tmp_path / "cat" / ".hidden").touch()
    assert fingerprint(tmp_path) == before
    # Only a label changes, not sizes, times or their order: TFX's own fingerprint would stay the same.
    (tmp_path / "cat" / "2.jpg").rename(tmp_path / "dog" / "+.jpg")
    moved = fingerprint(tmp_path)
    assert moved != before
    content = (tmp_path / "dog" / "1.jpg").read_bytes()
    (tmp_path / "dog" / "1.jpg").write_bytes(content + b"x")
    assert fingerprint(tmp_path) not in (before, moved)


@pytest.mark.parametrize("names", [("cat/1.jpg", "dog/1.jpg"), ("cat/1.jpg", "cat/2.jpg", "dog/0.jpg")])
def test_files_of_equal_size_and_time_that_change_places_change_the_fingerprint(tmp_path, names):
    good(tmp_path, "cat", "dog", count=3)
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(picture(number)[:200] + bytes([number]))
        os.utime(tmp_path / name, ns=(1 << 60, 1 << 60))
    seen = {fingerprint(tmp_path)}
    assert fingerprint(tmp_path) in seen
    for one, other in zip(names, names[1:], strict=False):
        (tmp_path / one).rename(tmp_path / "held")
        (tmp_path / other).rename(tmp_path / one)
        (tmp_path / "held").rename(tmp_path / other)
        seen.add(fingerprint(tmp_path))
    assert len(seen) == len(names)


def test_a_pipe_of_the_same_size_and_time_does_not_block_the_fingerprint(tmp_path):
    good(tmp_path, "cat", "dog", count=3)
    for name in ("cat/pipe", "dog/pipe"):
        os.mkfifo(tmp_path / name)
        os.utime(tmp_path / name, ns=(1 << 60, 1 << 60))
    assert len(fingerprint(tmp_path)) == 64


def test_the_fingerprint_of_a_list_covers_the_list_and_its_images(tmp_path):
    good(tmp_path, "a", "b", count=2)
    path = tmp_path / "list.csv"
    path.write_text("path,label\na/0.jpg,x\nb/0.jpg,y\nb/absent.jpg,y\n")
    seen = {fingerprint(path)}
    (tmp_path / "a" / "1.jpg").write_bytes(b"not in the list")
    assert fingerprint(path) in seen
    os.utime(tmp_path / "a" / "0.jpg", ns=(1, 1))
    seen.add(fingerprint(path))
    (tmp_path / "b" / "absent.jpg").write_bytes(PNG)
    seen.add(fingerprint(path))
    path.write_text("path,label\na/0.jpg,y\nb/0.jpg,x\nb/absent.jpg,y\n")
    seen.add(fingerprint(path))
    assert len(seen) == 4


def test_a_folder_at_a_url_is_read_like_a_local_folder(tmp_path):
    """Use `ram://` instead of `gs://`: TensorFlow has file systems for both."""
    for label, first in (("cat", 0), ("dog", 100)):
        tf.io.gfile.makedirs(f"ram://photos/{label}")
        for number in range(10):
            with tf.io.gfile.GFile(f"ram://photos/{label}/{number}.jpg", "wb") as file:
                file.write(picture(first + number) if number else b"text")
    ingest, rejected, sources = execute("ram://photos", tmp_path)
    assert set(rejected) == {"cat/0.jpg", "dog/0.jpg"}
    assert (ingest["files"], ingest["accepted"], len(sources)) == (20, 18, 18)
    before = fingerprint("ram://photos")
    with tf.io.gfile.GFile("ram://photos/cat/0.jpg", "wb") as file:
        file.write(picture(900))
    assert fingerprint("ram://photos") != before
