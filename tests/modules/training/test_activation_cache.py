"""The cache on disk is written once, read through a memory map, and never used if it is damaged."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from edgetune.modules.core.errors import TrainingError
from edgetune.modules.training import activation_cache
from edgetune.modules.training.activation_cache import Writer, open_or_build

ROWS = np.arange(24, dtype=np.float16).reshape(6, 2, 2)


class Build:
    """Writes `ROWS` in two parts, and counts its calls."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, writer: Writer) -> None:
        self.times += 1
        writer.append("train_cut", ROWS[:4])
        writer.append("train_cut", ROWS[4:])
        writer.append("train_label", np.arange(6))


@pytest.fixture
def build() -> Build:
    return Build()


def test_appended_rows_are_read_back_through_a_map_and_built_once(tmp_path, build):
    for _ in range(2):
        arrays = open_or_build(tmp_path / "caches", "ab12", "train", build)
        assert isinstance(arrays["train_cut"], np.memmap)
        np.testing.assert_array_equal(arrays["train_cut"], ROWS)
        assert arrays["train_cut"].dtype == np.float16
        np.testing.assert_array_equal(arrays["train_label"], np.arange(6))
        with pytest.raises(ValueError, match="read-only"):
            arrays["train_cut"][0] = 0
    assert build.times == 1


def test_what_a_killed_training_left_is_removed_before_the_part_is_built_again(tmp_path, build):
    left = tmp_path / "aa" / ".train-x1y2"
    left.mkdir(parents=True)
    (left / "train_cut.bin").write_bytes(b"half")
    open_or_build(tmp_path, "aa", "train", build)
    assert [path.name for path in (tmp_path / "aa").iterdir()] == ["train"]


def test_each_key_has_its_own_cache_and_both_are_kept(tmp_path, build):
    for key in ("aa", "bb", "aa", "bb"):
        open_or_build(tmp_path, key, "train", build)
    assert build.times == 2


def test_the_least_recently_used_cache_is_removed(tmp_path, build):
    for number, key in enumerate(("aa", "bb", "aa", "cc")):
        open_or_build(tmp_path, key, "train", build)
        os.utime(tmp_path / key, (number, number))
    open_or_build(tmp_path, "cc", "train", build)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aa", "cc"]


@pytest.mark.parametrize(
    "damage", ["flipped", "short", "long", "absent", "no manifest", "half a manifest", "other key"]
)
def test_a_damaged_cache_is_built_again(tmp_path, build, damage):
    open_or_build(tmp_path, "aa", "train", build)
    data, manifest = tmp_path / "aa" / "train" / "train_cut.bin", tmp_path / "aa" / "train" / "manifest.json"
    content = bytearray(data.read_bytes())
    if damage == "flipped":
        content[5] ^= 1
        data.write_bytes(content)
    elif damage == "short":
        data.write_bytes(content[:-2])
    elif damage == "long":
        data.write_bytes(content + b"\0\0")
    elif damage == "absent":
        data.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "half a manifest":
        manifest.write_text(manifest.read_text()[:20])
    else:
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "key": "bb"}))
    arrays = open_or_build(tmp_path, "aa", "train", build)
    assert build.times == 2
    np.testing.assert_array_equal(arrays["train_cut"], ROWS)


def test_a_full_disk_is_an_error_with_a_remedy_and_leaves_no_files(tmp_path, monkeypatch):
    def full(writer: Writer) -> None:
        writer.append("train_cut", ROWS)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(TrainingError, match="the disk is full") as caught:
        open_or_build(tmp_path / "caches", "aa", "train", full)
    assert "training.activation_cache.views" in caught.value.remedy
    assert list((tmp_path / "caches").iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_really_full_disk_is_detected(tmp_path, build, monkeypatch):
    original = Writer.append

    def append(self: Writer, name: str, rows: np.ndarray) -> None:
        path = self._folder / f"{name}.bin"
        if not path.exists():
            path.symlink_to("/dev/full")
        original(self, name, rows)

    monkeypatch.setattr(Writer, "append", append)
    with pytest.raises(TrainingError, match="the disk is full"):
        open_or_build(tmp_path / "caches", "aa", "train", build)
    assert list((tmp_path / "caches").iterdir()) == []


def test_a_failed_build_raises_its_error_and_leaves_no_files(tmp_path):
    def fail(writer: Writer) -> None:
        writer.append("train_cut", ROWS)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        open_or_build(tmp_path / "caches", "aa", "train", fail)
    assert list((tmp_path / "caches").iterdir()) == []


def test_rows_of_another_shape_are_rejected(tmp_path):
    def mixed(writer: Writer) -> None:
        writer.append("train_cut", ROWS)
        writer.append("train_cut", ROWS[:, :1])

    with pytest.raises(ValueError, match="train_cut"):
        open_or_build(tmp_path, "aa", "train", mixed)


def test_opening_a_cache_does_not_load_the_arrays(tmp_path):
    """Open a cache of 64 MB, and read half of its rows one by one."""
    rows = np.zeros((1, 1 << 18), np.float32)

    def large(writer: Writer) -> None:
        for number in range(64):
            writer.append("train_cut", rows + number)

    open_or_build(tmp_path, "aa", "train", large)
    import tracemalloc

    tracemalloc.start()
    arrays = activation_cache.open_or_build(tmp_path, "aa", "train", large)
    assert [float(arrays["train_cut"][[number]].max()) for number in range(0, 64, 2)] == list(range(0, 64, 2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 2**20
