"""Thumbnails of raw examples, for the report."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from edgetune.modules.contracts.example_features import IMAGE, LABEL, SOURCE, SPLITS
from edgetune.modules.examples import records
from edgetune.modules.images import graph_read
from edgetune.modules.images.reading import MOST_SIDE, Reading

SIDE = 96
"""Longer side of a thumbnail, in pixels."""
_QUALITY = 75


@dataclass(frozen=True)
class Thumbnail:
    """An example as the report shows it."""

    file: str
    """Relative to the data's folder."""
    label: str
    jpeg: str
    """JPEG in Base64."""


def thumbnails(examples_uri: str, wanted: Callable[[int, str], bool]) -> dict[int, Thumbnail]:
    """Return thumbnails of some examples, by their rows; all records are read, and only the wanted ones decoded.

    Args:
        examples_uri: Artifact of raw examples.
        wanted: Whether an example is wanted, by its row, counted over all splits in the order of `SPLITS`, and file.
    """
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in (IMAGE, LABEL, SOURCE)}
    found, row = {}, 0
    for split in SPLITS:
        for record in records.serialized(examples_uri, split):
            example = tf.io.parse_single_example(record, features)
            file = os.fsdecode(example[SOURCE].numpy())
            if wanted(row, file):
                jpeg = thumbnail(example[IMAGE].numpy())
                found[row] = Thumbnail(file, example[LABEL].numpy().decode(), jpeg)
            row += 1
    return found


def thumbnail(encoded: bytes) -> str:
    """Return a thumbnail of an image as raw examples store it: a JPEG of `SIDE` pixels in Base64.

    An image that cannot be read has none: an empty string.
    """
    fault, pixels = graph_read.attempt(encoded, Reading(max_pixels=MOST_SIDE**2, max_side=SIDE))
    if fault:
        return ""
    # Without what decoders do not need, an image takes some 2 KB.
    jpeg = tf.io.encode_jpeg(pixels, quality=_QUALITY, optimize_size=True, xmp_metadata="", density_unit="in")
    return base64.b64encode(jpeg.numpy()).decode()
