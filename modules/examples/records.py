"""Read the examples that the pipeline writes: gzipped TFRecords of tf.Example, one folder per split.

`modules.contracts.example_features` names their features.
"""

from __future__ import annotations

import tensorflow as tf

from edgetune.modules.contracts.example_features import (
    IMAGE,
    IMAGE_ID,
    LABEL,
    LABEL_INDEX,
    PLAIN,
    SOURCE,
    SPLIT_GROUP,
)
from edgetune.modules.examples import shards
from edgetune.modules.examples.pixel_packing import unpack
from edgetune.modules.storage.digests import file_digest


def split_files(examples_uri: str, split: str) -> list[str]:
    """Return the sorted record files of a split of an `Examples` artifact: those that its writer has recorded.

    Raises:
        DataError: There is no readable record.
    """
    return shards.files(examples_uri, split)


def digests(examples_uri: str, split: str) -> list[str]:
    """Return the SHA-256 of each of the `split_files`, 64 hexadecimal digits: what a cache of the examples depends on.

    Raises:
        DataError: There is no readable record.
    """
    return [file_digest(path) for path in split_files(examples_uri, split)]


def serialized(examples_uri: str, split: str) -> tf.data.Dataset:
    """Return the split's serialized tf.Examples: scalar strings, in a fixed order."""
    return tf.data.TFRecordDataset(split_files(examples_uri, split), compression_type="GZIP")


def transformed(examples_uri: str, split: str, image_size: int) -> tf.data.Dataset:
    """Return the split's transformed examples, in a fixed order.

    Returns:
        Pairs of an image, uint8 `[image_size, image_size, 3]` RGB, and a label, int64 scalar.
    """

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return parse_transformed(record, image_size)

    return serialized(examples_uri, split).map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def parse_transformed(record: tf.Tensor, image_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Parse one serialized transformed example to image and label, as in `transformed`."""
    features = {IMAGE: tf.io.FixedLenFeature([], tf.string), LABEL_INDEX: tf.io.FixedLenFeature([], tf.int64)}
    example = tf.io.parse_single_example(record, features)
    return unpack(example[IMAGE], image_size), example[LABEL_INDEX]


def named(examples_uri: str, split: str) -> tf.data.Dataset:
    """Return the split's raw examples with their files, in a fixed order.

    Returns:
        Triples of string scalars: an encoded image, its class name, and its file, empty if it has none.
    """
    features = {IMAGE: tf.io.FixedLenFeature([], tf.string), LABEL: tf.io.FixedLenFeature([], tf.string)}
    features[SOURCE] = tf.io.FixedLenFeature([], tf.string, default_value="")

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(record, features)
        return example[IMAGE], example[LABEL], example[SOURCE]

    return serialized(examples_uri, split).map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def identified(examples_uri: str, split: str) -> tf.data.Dataset:
    """Return the split's raw examples with their identity, in a fixed order.

    Returns:
        Dictionaries of string scalars: `IMAGE`, encoded; `LABEL`, the class name; `IMAGE_ID` and `SPLIT_GROUP`. And
        `PLAIN`, int64 scalar.
    """
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in (IMAGE, LABEL, IMAGE_ID, SPLIT_GROUP)}
    features[PLAIN] = tf.io.FixedLenFeature([], tf.int64, 0)  # as long as nobody says so, an image is not plain

    def parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(tf.io.parse_single_example(record, features))

    return serialized(examples_uri, split).map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
