"""Where each image goes, as one pass leaves it for the next: files, and the table that a worker reads from them.

The images themselves are not shuffled a second time for it. A worker holds the table in arrays, at most 69 bytes for
each image (digest, number of its group, split, digest of its group): 69 MB of a million images, which have 100 GB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import apache_beam as beam
import numpy as np
import tensorflow as tf

from components.image_example_gen.grouping import Placed
from components.image_example_gen.near_duplicates import File
from components.image_example_gen.raw_example import Read
from modules import records
from modules.records import SPLITS

_DIGEST = np.dtype("S32")
_SPLITS = (*SPLITS, "-")


def fact(image: Read, split: str) -> tuple[bytes, tuple[File, bytes]]:
    """What the grouping has to know of an image: the digest of its pixels; file, and signature."""
    return bytes.fromhex(image.image_id), (File(image.source, image.label, split), image.signature)


def line(image: Placed) -> str:
    """A placed image as text."""
    return f"{image.id.hex()} {image.group.hex()} {image.split or '-'}"


class Place(beam.DoFn):
    """Serialized examples, as they were read, to complete examples, tagged with their split.

    Args:
        placed: Glob pattern of the files of `line`s.
        left_out: Glob pattern of the files with what is left out, JSON with a `path` in each line.
        split: Where all go; None where the table says it.
    """

    def __init__(self, placed: str, left_out: str, split: str | None) -> None:
        super().__init__()
        self._placed, self._left_out, self._split = placed, left_out, split

    def setup(self) -> None:
        ids, groups, splits = bytearray(), bytearray(), bytearray()
        for text in _lines(self._placed):
            identifier, group, split = text.split(" ")
            ids += bytes.fromhex(identifier)
            groups += bytes.fromhex(group)
            splits.append(_SPLITS.index(split))
        unordered = np.frombuffer(bytes(ids), _DIGEST)
        order = np.argsort(unordered)
        self._ids = unordered[order]
        # The id of a group is that of an image in it, or of one that was.
        self._names, numbers = np.unique(np.frombuffer(bytes(groups), _DIGEST), return_inverse=True)
        self._groups = numbers[order].astype(np.int32)
        self._splits = np.frombuffer(bytes(splits), np.uint8)[order]
        self._left_out_sources = {json.loads(text)["path"] for text in _lines(self._left_out)}

    def process(self, element: bytes) -> Iterator[beam.pvalue.TaggedOutput]:
        example = tf.train.Example.FromString(element)
        features = example.features.feature
        if features[records.SOURCE].bytes_list.value[0].decode("utf-8", "surrogateescape") in self._left_out_sources:
            return
        digest = bytes.fromhex(features[records.IMAGE_ID].bytes_list.value[0].decode())
        row = int(np.searchsorted(self._ids, np.array(digest, _DIGEST)))
        if row == len(self._ids) or _whole(self._ids[row]) != digest:
            raise RuntimeError(f"the image {digest.hex()} was read, and its split is not known")
        group = _whole(self._names[self._groups[row]])
        features[records.SPLIT_GROUP].bytes_list.value.append(group.hex().encode())
        yield beam.pvalue.TaggedOutput(self._split or _SPLITS[self._splits[row]], example)


def _whole(digest: bytes) -> bytes:
    """A digest of 32 bytes: numpy takes zeros off the end."""
    return digest.ljust(_DIGEST.itemsize, b"\0")


def _lines(pattern: str) -> Iterator[str]:
    for path in sorted(tf.io.gfile.glob(pattern)):
        with tf.io.gfile.GFile(path) as file:
            yield from (text.rstrip("\n") for text in file)
