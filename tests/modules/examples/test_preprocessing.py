"""The output of TensorFlow Transform on Beam: raw pixels, indices and the vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.contracts.example_features import IMAGE, LABEL, LABEL_INDEX, PLAIN
from edgetune.modules.examples.preprocessing import _write_sorted
from edgetune.modules.images.decode import decode
from edgetune.modules.serving.export import transform_labels
from tests.tiny import transform


@pytest.fixture(scope="module")
def graph():
    return transform.transformed()[0]


@pytest.fixture(scope="module")
def rows():
    return transform.transformed()[1]


def test_the_vocabulary_is_sorted_by_name_whatever_the_frequencies(graph):
    text = Path(graph.transform_savedmodel_dir, "assets", "labels.txt").read_text(encoding="utf-8")
    assert text == "".join(f"{label}\n" for label in transform.LABELS)
    assert transform_labels(graph) == list(transform.LABELS)
    names = [label for _, label in transform.analysed()]
    by_frequency = sorted(transform.LABELS, key=names.count, reverse=True)
    assert by_frequency != list(transform.LABELS)


def test_the_index_is_the_line_number_of_the_label(rows):
    expected = [transform.LABELS.index(label) for _, label in transform.analysed()]
    assert [row[LABEL_INDEX] for row in rows["analysed"]] == expected


def test_an_unknown_label_has_index_minus_one(rows):
    expected = {label: index for index, label in enumerate(transform.LABELS)} | {transform.UNKNOWN: -1}
    labels = [label for _, label in transform.unseen()]
    assert transform.UNKNOWN in labels
    assert [row[LABEL_INDEX] for row in rows["unseen"]] == [expected[label] for label in labels]


def test_the_image_is_the_raw_bytes_of_the_decoded_pixels(rows):
    for name, pairs in (("analysed", transform.analysed()), ("unseen", transform.unseen())):
        assert len(rows[name]) == len(pairs)
        for row, (encoded, _) in zip(rows[name], pairs, strict=True):
            assert row[IMAGE] == decode(encoded, transform.SIZE).numpy().tobytes()


def test_the_features_are_a_string_and_an_integer(graph, rows):
    assert set(rows["analysed"][0]) == {IMAGE, LABEL_INDEX}
    assert graph.transformed_feature_spec() == {
        IMAGE: tf.io.FixedLenFeature([], tf.string),
        LABEL_INDEX: tf.io.FixedLenFeature([], tf.int64),
    }


def test_the_graph_saved_for_serving_does_the_same(graph, rows):
    encoded, labels = zip(*transform.analysed(), strict=True)
    unknown = tf.zeros([len(encoded)], tf.int64)
    given = {IMAGE: tf.constant(encoded), LABEL: tf.constant(labels), PLAIN: unknown}
    found = graph.transform_features_layer()(given)
    assert list(found[IMAGE].numpy()) == [row[IMAGE] for row in rows["analysed"]]
    np.testing.assert_array_equal(found[LABEL_INDEX], [row[LABEL_INDEX] for row in rows["analysed"]])


def test_the_vocabulary_is_sorted_by_bytes(tmp_path):
    words = [label.encode() for label in ("b", "a10", "a2", "B", "é")]
    path = Path(str(_write_sorted(words, str(tmp_path / "new"))))
    assert path.read_text(encoding="utf-8").split() == ["B", "a10", "a2", "b", "é"]
