"""Settings of the data: what is read, how it is split, and when it is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgetune.modules.settings.base import Fraction, Positive, Settings

FINDINGS = ("anomaly", "drift", "duplicates", "imbalance", "leakage", "small_class", "small_images", "two_labels")
"""All kinds of findings that DatasetGate and ImageExampleGen report."""
Level = Annotated[int, Field(ge=0, le=255)]


class Splits(Settings):
    """Relative sizes of the splits, used where the data does not bring its own."""

    train: Positive = 8
    """Share that is trained on."""
    eval: Positive = 1
    """Share that steers training: early stopping, learning rate, choice between the phases."""
    test: Positive = 1
    """Share that decides blessings and is never seen before."""


class DataSettings(Settings):
    """What is read, and when it is refused."""

    path: str
    """Folder `<class>/*` or `{train,eval,test}/<class>/*`, folder of TFRecords, list of images (`path,label[,split]` as
    CSV or Parquet), or `embedded:digits`."""
    splits: Splits = Splits()
    """Relative sizes of the splits; images that an earlier run of the same name placed stay where they are."""
    tfrecord_pattern: str = "*.tfrecord*"
    """Which files of a folder of TFRecords are read, as a glob pattern."""
    image_feature: str = "image"
    """Feature of a tf.Example in a TFRecord that holds the encoded image."""
    label_feature: str = "label"
    """Feature of a tf.Example in a TFRecord that holds the label, as bytes or as an integer."""
    max_rejected: Fraction = 0.05
    """Largest fraction of unreadable files; above it the run stops."""
    max_pixels: Positive = 89_478_485
    """Pixels of the largest image that is decoded (Pillow's own bound against decompression bombs)."""
    max_side: Positive | None = 640
    """Longer side, in pixels, to which larger images are made small once, when they are read; null never does. The
    default is above `model.image_size` of every backbone."""
    background: Annotated[tuple[Level, ...], Field(min_length=3, max_length=3)] = (255, 255, 255)
    """Red, green and blue of what shows through transparent pixels; three numbers."""
    on_duplicates: Literal["group", "drop", "fail"] = "group"
    """What becomes of near-duplicates: `group` keeps them in one split, `drop` keeps one of them, `fail` stops."""
    duplicate_distance: Annotated[int, Field(ge=0, le=24)] = 12
    """How many of the 256 bits of two near-duplicates' hashes may differ; 0 for images of equal pixels only."""
    min_examples_per_class: Positive = 10
    """Images that every class needs, over all splits."""
    max_imbalance: Annotated[float, Field(ge=1)] = 20.0
    """Most images of the largest class for each image of the smallest."""
    min_side: Positive = 8
    """Pixels that the shorter side of an image needs."""
    max_label_drift: Fraction = 0.3
    """Largest change of a class's share against the data of the last blessed model (L-infinity distance)."""
    max_image_drift: Fraction = 0.3
    """Largest change of sizes and colours against those data (Jensen-Shannon divergence, of each statistic)."""
    allow: tuple[Annotated[str, Field(pattern=f"^({'|'.join(FINDINGS)})(:.+)?$")], ...] = ()
    """Findings that may pass, each by its name, alone or with a file, class or feature: `two_labels:cats/1.jpg`."""
