"""WriteRecords: all of TFX's readers find the same records in the same order."""

from __future__ import annotations

import gzip
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf

from edgetune.components.common import record_writer
from edgetune.components.common.record_writer import WriteRecords, huffman_only, uncompressed

RECORDS = [np.random.default_rng(number).bytes(1000 + number) for number in range(40)] + [b""]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    monkeypatch.setattr(record_writer, "_BLOCK", 5000)  # at least eight members
    with beam.Pipeline("FnApiRunner") as pipeline:
        pipeline | beam.Create(RECORDS, reshuffle=False) | WriteRecords(str(tmp_path / "data"), request.param)
    [path] = tmp_path.iterdir()
    assert path.name == "data-00000-of-00001.gz"
    return str(path)


@pytest.mark.parametrize("written", [uncompressed, huffman_only], indirect=True)
def test_every_reader_finds_the_records(written):
    assert list(tf.data.TFRecordDataset(written, "GZIP").as_numpy_iterator()) == RECORDS
    with gzip.open(written) as file, tf.io.TFRecordWriter(f"{written}.plain") as writer:
        for record in RECORDS:
            writer.write(record)
        content = file.read()
    assert content == Path(f"{written}.plain").read_bytes()
    assert Path(written).read_bytes().count(b"\x1f\x8b\x08") >= 8
    with beam.Pipeline("FnApiRunner") as pipeline:
        found = pipeline | beam.io.ReadFromTFRecord(written) | beam.combiners.ToList()
        found | beam.Map(_same)


def _same(found: list[bytes]) -> None:
    assert sorted(found) == sorted(RECORDS)


def test_no_records_make_a_file_without_records(tmp_path):
    with beam.Pipeline("FnApiRunner") as pipeline:
        pipeline | beam.Create([]) | WriteRecords(str(tmp_path / "data"), huffman_only)
    [path] = tmp_path.iterdir()
    assert list(tf.data.TFRecordDataset(str(path), "GZIP")) == []
