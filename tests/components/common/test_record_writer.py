"""WriteRecords: all of TFX's readers find the same records in the same order."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.types import standard_artifacts

from edgetune.components.common import record_writer
from edgetune.components.common.examples import check_examples
from edgetune.components.common.record_writer import WriteRecords, huffman_only, record_shards, uncompressed

RECORDS = [np.random.default_rng(number).bytes(1000 + number) for number in range(40)] + [b""]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    monkeypatch.setattr(record_writer, "_BLOCK", 5000)  # at least eight members
    with beam.Pipeline("FnApiRunner") as pipeline:
        write = WriteRecords(str(tmp_path / "Split-all" / "data"), request.param)
        pipeline | beam.Create(RECORDS, reshuffle=False) | write
    [path] = (tmp_path / "Split-all").iterdir()
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
        pipeline | beam.Create([]) | WriteRecords(str(tmp_path / "Split-all" / "data"), huffman_only)
    [path] = (tmp_path / "Split-all").iterdir()
    assert list(tf.data.TFRecordDataset(str(path), "GZIP")) == []
    assert record_shards(artifact(tmp_path), ["all"]) == {"all": 0}


def artifact(folder: Path) -> standard_artifacts.Examples:
    made = standard_artifacts.Examples()
    made.uri = str(folder)
    return made


@pytest.mark.parametrize("written", [uncompressed], indirect=True)
def test_what_was_written_is_recorded_on_the_artifact(written):
    folder = Path(written).parents[1]
    examples = artifact(folder)
    assert record_shards(examples, ["all"]) == {"all": len(RECORDS)}
    assert sorted(path.name for path in folder.iterdir()) == ["Split-all", "shards.json"]
    recorded = {"all": {"records": len(RECORDS), "shards": {Path(written).name: Path(written).stat().st_size}}}
    assert json.loads((folder / "shards.json").read_text()) == recorded
    assert check_examples([examples]) == {"all": len(RECORDS)}


def test_records_of_several_bundles_are_counted_together(tmp_path):
    flags = ["--runner=FnApiRunner", "--direct_num_workers=2", "--direct_running_mode=multi_threading"]
    with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
        write = WriteRecords(str(tmp_path / "Split-all" / "data"), uncompressed)
        pipeline | beam.Create(RECORDS) | beam.Reshuffle() | write
    assert record_shards(artifact(tmp_path), ["all"]) == {"all": len(RECORDS)}
    assert len(list((tmp_path / "Split-all").iterdir())) > 1
