"""Choose test images, and find the files that they were read from, as the user has them now.

A file counts only if it still shows what was measured: it has the bytes that ingest stored, or its `image_id`, the
digest of its pixels, is the same when it is computed again.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from edgetune.modules.contracts import example_features
from edgetune.modules.core import bounds
from edgetune.modules.evaluation.answers import Answers
from edgetune.modules.examples import records
from edgetune.modules.images import graph_read
from edgetune.modules.images.reader import Unusable, read_image
from edgetune.modules.images.reading import Reading
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

SPLIT = "test"
ASKED, GONE, CHANGED, RECORDS, REFUSED, DAMAGED = "asked", "gone", "changed", "records", "refused", "damaged"
"""What became of an original: asked; gone or not readable; other pixels than were measured, or no image any more; in a
TFRecord file; a kind of image that the server refuses, as it should; damaged for TensorFlow, and read by Pillow."""
_MOST = 64 << 20  # bytes; no server is sent larger requests


@dataclass(frozen=True)
class Location:
    """Where the files are, and how they were read: `source.json` of ImageExampleGen's report."""

    kind: str
    """`images`, `manifest` or `tfrecords`; see `modules.data.sources`."""
    base: str
    """Folder or URL that `source` is relative to."""
    reading: Reading

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Location:
        """Return the location that JSON values describe.

        Raises:
            KeyError: A value is missing.
        """
        return cls(values["kind"], values["base"], Reading.of(values))


@dataclass(frozen=True)
class Original:
    """A file, or why it is not asked."""

    state: str
    """`ASKED`, `GONE`, ..."""
    why: str = ""
    """In a few words, if it is not asked."""
    content: bytes = b""
    """Of `ASKED`, `REFUSED` and `DAMAGED`, unless `is_stored`."""
    is_stored: bool = False
    """Whether it has the bytes of the raw example."""


def balanced(answers: Answers, most: int) -> list[int]:
    """Choose test images: equally many of each class as far as there are, the same ones in each run.

    Args:
        answers: Of the model.
        most: Maximum number.

    Returns:
        Positions in `answers`. Images are taken in the order of their ids, which are digests, so that the order of
        files and classes has no influence.
    """
    by_class: dict[str, list[int]] = {}
    for position, label in enumerate(answers.label):
        if not position or answers.image_id[position] != answers.image_id[position - 1]:
            by_class.setdefault(label, []).append(position)
    turns = itertools.zip_longest(*by_class.values())
    return list(itertools.islice((found for turn in turns for found in turn if found is not None), most))


def examples(examples_uri: str, wanted: Mapping[str, str]) -> dict[str, bytes]:
    """Return raw examples of the test split, serialized.

    Args:
        examples_uri: An `Examples` artifact.
        wanted: Class name by `image_id`. Of several files with the same pixels, the one with the first name counts.
    """
    found: dict[str, tuple[bytes, bytes]] = {}
    for record in _records(examples_uri):
        features = _features(record)
        image_id, label = (
            _value(features, name).decode() for name in (example_features.IMAGE_ID, example_features.LABEL)
        )
        if wanted.get(image_id) == label:
            candidate = (_value(features, example_features.SOURCE), record)
            found[image_id] = min(found.get(image_id, candidate), candidate)
    return {image_id: record for image_id, (_, record) in found.items()}


def source_of(example: bytes) -> str:
    """Return the path of a raw example's file, relative to the data; empty if it has none."""
    return os.fsdecode(_value(_features(example), example_features.SOURCE))


def read_original(example: bytes, location: Location) -> Original:
    """Read the file of a test image.

    Args:
        example: The raw example that was measured.
        location: Where the data are, and how they were read.
    """
    features, source = _features(example), source_of(example)
    if location.kind not in ("images", "manifest") or not source:
        return Original(RECORDS, "in a TFRecord file")
    try:
        most = min(_MOST, bounds.max_file_bytes(location.reading.max_pixels))
        content = read_file(f"{location.base}/{source}", location.base, most, "a request")
    except UnreadableFile as error:
        return Original(GONE, str(error))
    if content == _value(features, example_features.IMAGE):  # ingest keeps what the graph reads
        return Original(ASKED, is_stored=True)
    try:
        now = read_image(content, location.reading).digest
    except Unusable as error:
        return Original(CHANGED, str(error))
    if now != _value(features, example_features.IMAGE_ID).decode():
        return Original(CHANGED, "other pixels than those that were measured")
    fault, _ = graph_read.attempt(content, location.reading)
    damaged = fault in (graph_read.DAMAGED, graph_read.DAMAGED_PROFILE)
    return Original(DAMAGED if damaged else REFUSED if fault else ASKED, fault, content)


def _records(examples_uri: str) -> Iterator[bytes]:
    if records.split_files(examples_uri, SPLIT):
        yield from records.serialized(examples_uri, SPLIT).as_numpy_iterator()


def _features(example: bytes) -> Mapping[str, tf.train.Feature]:
    found: Mapping[str, tf.train.Feature] = tf.train.Example.FromString(example).features.feature
    return found


def _value(features: Mapping[str, tf.train.Feature], name: str) -> bytes:
    """Return the single value of a feature of bytes; empty if it is missing."""
    values = features[name].bytes_list.value if name in features else []
    return bytes(values[0]) if len(values) == 1 else b""
