"""Counting the records of TFRecord files without reading them."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import tensorflow as tf

from edgetune.modules.data.record_count import count_records


def write(path: Path, records: Sequence[bytes], compression: str = "") -> str:
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def test_records_of_any_size_in_all_files_are_counted(tmp_path):
    sizes = (0, 1, 7, 8, 100_000, 3)
    first = write(tmp_path / "a", [bytes(size) for size in sizes])
    second = write(tmp_path / "b", [b"x"] * 100)
    empty = write(tmp_path / "c", [])
    assert count_records([first, second, empty]) == 106
    assert count_records([]) == 0


@pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
def test_the_count_of_a_compressed_file_is_unknown(tmp_path, compression):
    plain, packed = write(tmp_path / "a", [b"x"]), write(tmp_path / "b", [b"x" * 1000] * 100, compression)
    assert count_records([packed]) is None
    assert count_records([plain, packed]) is None


def test_the_count_of_a_url_or_a_missing_file_is_unknown(tmp_path):
    assert count_records(["gs://bucket/a.tfrecord"]) is None
    assert count_records([str(tmp_path / "absent")]) is None


def test_a_pipe_does_not_block_and_counting_stops_at_a_million(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert count_records([str(tmp_path / "pipe")]) is None
    with open(tmp_path / "zeros", "wb") as file:
        file.truncate(1 << 40)
    assert count_records([str(tmp_path / "zeros"), write(tmp_path / "a", [b"x"])]) == 1_000_000


@pytest.mark.parametrize("left", [1, 15, 16, 17, 100])
def test_complete_records_of_a_truncated_file_are_counted(tmp_path, left):
    path = Path(write(tmp_path / "a", [bytes(100)] * 3))
    path.write_bytes(path.read_bytes()[: 2 * 116 + left])
    assert count_records([str(path)]) == 2


def test_a_file_of_another_kind_ends_the_count(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(b"x")[:7])
    assert count_records([str(tmp_path / "a")]) == 0
    (tmp_path / "a").write_bytes(b"\xff" * 100)
    assert count_records([str(tmp_path / "a")]) is None
