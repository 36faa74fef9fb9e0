"""The comparison of two runs detects differences, and ignores what engines may do differently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from edgetune.modules.contracts.example_features import SPLITS
from tests.engine import compare
from tests.helpers import recorded_shards


def write_examples(folder: Path, values: dict[str, list[int]]) -> str:
    for split in SPLITS:
        place = folder / f"Split-{split}"
        place.mkdir(parents=True)
        for shard, numbers in enumerate((values[split][::2], values[split][1::2])):
            with tf.io.TFRecordWriter(str(place / f"data-{shard:05}-of-00002.gz"), "GZIP") as writer:
                for number in numbers:
                    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
                    example = tf.train.Example(features=tf.train.Features(feature={"number": feature}))
                    writer.write(example.SerializeToString())
    recorded_shards.record(folder)
    return str(folder)


def write_statistics(folder: Path, mean: float = 1.5, names: tuple[str, ...] = ("height", "width")) -> str:
    for split in SPLITS:
        statistics = statistics_pb2.DatasetFeatureStatisticsList()
        dataset = statistics.datasets.add(name=split, num_examples=3)
        for name in names:
            dataset.features.add(name=name).num_stats.mean = mean
        path = folder / f"Split-{split}" / "FeatureStats.pb"
        path.parent.mkdir(parents=True)
        path.write_bytes(statistics.SerializeToString())
    return str(folder)


SAME = {"train": [1, 2, 2, 3], "eval": [4], "test": [5]}


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ({**SAME, "train": [2, 3, 1, 2]}, []),
        ({**SAME, "train": [1, 2, 3, 3]}, ["train: 1 of 4 examples differ"]),
        ({**SAME, "train": [1, 2, 3]}, ["train has 4 and 3 examples"]),
        ({**SAME, "eval": [5], "test": [4]}, ["eval: 1 of 1 examples differ", "test: 1 of 1 examples differ"]),
    ],
)
def test_examples_may_be_in_any_order_and_file(tmp_path, other, found):
    left, right = write_examples(tmp_path / "left", SAME), write_examples(tmp_path / "right", other)
    assert list(compare.CHECKS["ImageExampleGen.examples"](left, right)) == found


def test_empty_splits_are_not_equal(tmp_path):
    empty = {**SAME, "test": []}
    left, right = write_examples(tmp_path / "left", empty), write_examples(tmp_path / "right", empty)
    assert list(compare.CHECKS["Transform.transformed_examples"](left, right)) == ["test is empty"]


def test_statistics_may_be_in_any_order_and_differ_in_the_last_digits(tmp_path):
    check = compare.CHECKS["StatisticsGen.statistics"]
    left = write_statistics(tmp_path / "left")
    assert list(check(left, write_statistics(tmp_path / "order", 1.5 + 1e-9, ("width", "height")))) == []
    assert len(list(check(left, write_statistics(tmp_path / "mean", 1.501)))) == 2 * len(SPLITS)
    assert "Split-eval/FeatureStats.pb.eval.width is on one side only" in check(
        left, write_statistics(tmp_path / "lacking", names=("height",))
    )
    assert list(check(str(tmp_path / "none"), str(tmp_path / "none"))) == ["files [] and []"]


def test_anomalies_findings_reports_and_vocabularies_are_read(tmp_path):
    folders = [tmp_path / side for side in ("left", "right")]
    for folder, value in zip(folders, ("owl", "wren"), strict=True):
        assets = folder / "transform_fn" / "assets"
        assets.mkdir(parents=True)
        (assets / "labels").write_text(value)
        (folder / "findings.json").write_text(json.dumps({"findings": [value]}))
        (folder / "ingest.json").write_text(json.dumps({"accepted": len(value)}))
        (folder / "rejected.csv").write_text("path,reason\n")
        anomalies = anomalies_pb2.Anomalies()
        anomalies.anomaly_info["label"].description = value
        (folder / "SchemaDiff.pb").write_bytes(anomalies.SerializeToString())
    left, right = map(str, folders)
    for name in (
        "ExampleValidator.anomalies",
        "DatasetGate.findings",
        "ImageExampleGen.report",
        "Transform.transform_graph",
    ):
        check = compare.CHECKS[name]
        assert list(check(left, left)) == []
        assert len(list(check(left, right))) == 1, name


def test_numbers_and_trees():
    tree = {"a": [1, 2.0, float("nan")], "b": {"c": "x"}}
    assert list(compare.differences(tree, {"b": {"c": "x"}, "a": [1, 2.0 + 1e-9, float("nan")]})) == []
    assert list(compare.differences(tree, {**tree, "a": [1, 2.1, float("nan")]})) == [".a[1]: 2.0 and 2.1"]
    assert list(compare.differences(tree, {**tree, "a": [1]})) == [".a has 3 and 1 items"]
    assert list(compare.differences([1.0], [float("nan")])) == ["[0]: 1.0 and nan"]
