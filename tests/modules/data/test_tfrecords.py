"""Untrusted TFRecord files: every record is read, or the error names the damaged record and its offset."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.core import bounds
from edgetune.modules.data.tfrecords import Bounds, Damaged, read_records

RECORDS = [bytes([number]) * (100 + number) for number in range(20)]
HEADER, FOOTER = 12, 4


def write(path: Path, compression: str = "", records: list[bytes] = RECORDS) -> bytes:
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return path.read_bytes()


def begin(number: int) -> int:
    """Offset of a record in bytes."""
    return sum(HEADER + len(record) + FOOTER for record in RECORDS[:number])


def damage(path: Path) -> tuple[int, str]:
    """Return the number of records before the damage, and the message."""
    read = 0
    with pytest.raises(Damaged) as caught:
        for _ in read_records(str(path)):
            read += 1
    return read, str(caught.value)


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz", "a"])
@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_a_file_is_read_whatever_its_compression_and_its_name(tmp_path, name, compression):
    write(tmp_path / name, compression)
    assert list(read_records(str(tmp_path / name))) == RECORDS


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_other_compressions_are_read(tmp_path, pack):
    (tmp_path / "a").write_bytes(pack(write(tmp_path / "plain")))
    assert list(read_records(str(tmp_path / "a"))) == RECORDS


def test_a_file_of_several_gzip_members_is_read_whole(tmp_path):
    plain = write(tmp_path / "plain")
    parts = [plain[: begin(7)], plain[begin(7) :]]
    (tmp_path / "packed").write_bytes(b"".join(gzip.compress(part) for part in parts))
    assert list(read_records(str(tmp_path / "packed"))) == RECORDS


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_an_empty_file_has_no_records(tmp_path, compression):
    write(tmp_path / "a", compression, [])
    assert list(read_records(str(tmp_path / "a"))) == []


def test_a_url_is_read(tmp_path):
    tf.io.gfile.makedirs("ram://records")
    with tf.io.gfile.GFile("ram://records/a.gz", "wb") as file:
        file.write(write(tmp_path / "a", "GZIP"))
    assert list(read_records("ram://records/a.gz")) == RECORDS


@pytest.mark.parametrize("cut", [1, FOOTER, FOOTER + 50, FOOTER + 103 + HEADER - 1])
def test_the_error_for_a_truncated_file_names_record_and_byte(tmp_path, cut):
    content = write(tmp_path / "a")
    (tmp_path / "a").write_bytes(content[: begin(4) - cut])
    assert damage(tmp_path / "a") == (3, f"cut short in record 4, at byte {begin(3)}")


def test_a_cut_in_the_first_record_is_reported(tmp_path):
    content = write(tmp_path / "a")
    (tmp_path / "a").write_bytes(content[:50])
    assert damage(tmp_path / "a") == (0, "cut short in record 1, at byte 0")


@pytest.mark.parametrize("offset", [0, 9, HEADER, HEADER + 50])
def test_a_flipped_bit_is_detected_by_the_checksum(tmp_path, offset):
    content = bytearray(write(tmp_path / "a"))
    content[begin(5) + offset] ^= 4
    (tmp_path / "a").write_bytes(content)
    assert damage(tmp_path / "a") == (5, f"record 6, at byte {begin(5):,}, does not match its checksum")


def test_a_file_with_a_flipped_bit_in_the_first_record_is_still_recognised(tmp_path):
    content = bytearray(write(tmp_path / "a"))
    content[HEADER + 3] ^= 4
    (tmp_path / "a").write_bytes(content)
    assert damage(tmp_path / "a") == (0, "record 1, at byte 0, does not match its checksum")


def test_damage_in_a_compressed_file_is_reported(tmp_path):
    records = [np.random.default_rng(number).bytes(2000) for number in range(9)]
    content = write(tmp_path / "a", "GZIP", records)
    (tmp_path / "a").write_bytes(content[: len(content) // 2])
    read, cause = damage(tmp_path / "a")
    assert read == 4 and cause == f"cut short in record 5, at byte {4 * 2016:,} of the decompressed data"
    altered = bytearray(content)
    altered[len(content) // 2] ^= 255
    (tmp_path / "a").write_bytes(altered)
    read, cause = damage(tmp_path / "a")
    assert read <= 4 and ("checksum" in cause or "its compression is damaged after" in cause)
    (tmp_path / "a").write_bytes(content[:-9])  # all records are complete, but the file is truncated
    assert damage(tmp_path / "a")[1].startswith("cut short in record 10")


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"just a text, long enough for a header", "not a TFRecord file: it does not begin with a record"),
        (zlib.compress(b"x" * 99), "compressed with zlib, which is not supported: write it plain or with gzip"),
        (lzma.compress(b"x" * 99), "record 1, at byte 0 of the decompressed data, does"),
        (b"\x28\xb5\x2f\xfd" + bytes(30), "compressed with zstd, which is not supported: write it plain or with gzip"),
        (gzip.compress(b"just a text, long enough for a header"), "record 1, at byte 0 of the decompressed data, does"),
        (b"x", "cut short in record 1, at byte 0"),
    ],
    # pytest's workers must agree on the ids, and gzip writes the time into its output.
    ids=["text", "zlib", "xz", "zstd", "gzip", "one byte"],
)
def test_files_that_are_not_tfrecords_are_reported(tmp_path, content, cause):
    (tmp_path / "a").write_bytes(content)
    read, found = damage(tmp_path / "a")
    assert read == 0 and found.startswith(cause)


def test_a_record_that_claims_to_be_huge_takes_no_memory(tmp_path):
    header = struct.pack("<Q", 1 << 40)
    (tmp_path / "a").write_bytes(header + struct.pack("<I", _masked(header)) + b"x" * 100)
    read, cause = damage(tmp_path / "a")
    assert read == 0 and "record 1, at byte 0" in cause


def _masked(content: bytes) -> int:
    from apache_beam.io.tfrecordio import _TFRecordUtil

    return _TFRecordUtil._masked_crc32c(content)


def test_a_missing_file_is_reported(tmp_path):
    read, cause = damage(tmp_path / "absent")
    assert (read, cause) == (0, "cannot be read after 0 records: No such file or directory")


def test_a_huge_record_in_a_small_compressed_file_is_not_read_into_memory(tmp_path):
    bomb = gzip.compress(write(tmp_path / "plain", records=[b"small", bytes(1 << 24)]))
    (tmp_path / "bomb").write_bytes(bomb)
    assert len(bomb) < 1 << 15
    found, limit = [], 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(Damaged) as caught:
            found += read_records(str(tmp_path / "bomb"), Bounds(limit))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit
    assert str(caught.value) == (
        f"record 2, at byte 21 of the decompressed data, is larger than the {limit} bytes that a record with an image "
        "of data.max_pixels has"
    )
    most = Bounds(1 << 25, unpack_ratio=1000)
    assert list(read_records(str(tmp_path / "bomb"), most)) == [b"small", bytes(1 << 24)]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_small_file_does_not_unpack_to_any_size(tmp_path, pack):
    bomb = pack(write(tmp_path / "plain", records=[bytes(1 << 20)] * 40))
    (tmp_path / "bomb").write_bytes(bomb)
    most, found = Bounds(1 << 25), []
    with pytest.raises(Damaged) as caught:
        found += (len(record) for record in read_records(str(tmp_path / "bomb"), most))
    allowed = bounds.FREE_UNPACKED + 100 * len(bomb)
    assert len(found) == allowed // ((1 << 20) + 16) < 40
    assert str(caught.value) == (
        f"record {len(found) + 1}, at byte {len(found) * ((1 << 20) + 16):,} of the decompressed data, unpacks to more "
        f"than 100 times the {len(bomb)} bytes of the file (data.max_unpack_ratio)"
    )
    assert len(list(read_records(str(tmp_path / "bomb"), Bounds(1 << 25, unpack_ratio=1 << 20)))) == 40


def test_a_small_file_does_not_unpack_to_millions_of_empty_records(tmp_path):
    bomb = bz2.compress(write(tmp_path / "plain", records=[b""]) * 1_000_000)
    (tmp_path / "bomb").write_bytes(bomb)
    assert len(bomb) < 2000
    read, cause = 0, ""
    try:
        for _ in read_records(str(tmp_path / "bomb"), Bounds(1 << 20)):
            read += 1
    except Damaged as error:
        cause = str(error)
    assert read == (bounds.FREE_UNPACKED + 100 * len(bomb)) // bounds.RECORD_COST + 1
    assert cause.endswith(f"100 times the {len(bomb)} bytes of the file (data.max_unpack_ratio)")


def test_a_file_has_a_bounded_number_of_records(tmp_path):
    write(tmp_path / "a")
    assert list(read_records(str(tmp_path / "a"), Bounds(1000, records=20))) == RECORDS
    with pytest.raises(Damaged, match=r"record 20, .* is beyond the 19 that a file may have \(data.max_records\)"):
        list(read_records(str(tmp_path / "a"), Bounds(1000, records=19)))
