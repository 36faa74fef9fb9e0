"""Settings of the data: what is read, how it is split, and when it is rejected."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edgetune.modules.core import bounds
from edgetune.modules.settings.base import Contradiction, Fraction, Positive, Settings

FINDINGS = (
    "anomaly", "blank", "blurred", "bright", "cut_off", "dark", "distorted", "drift", "duplicates", "enlarged",
    "imbalance", "label_errors", "leakage", "nested_classes", "outliers", "similar_classes", "small_class",
    "small_images", "two_labels", "uniform",
)  # fmt: skip
"""All kinds of findings that DatasetGate and LabelReviewer report; `nested_classes` is of the layout of folders."""
Level = Annotated[int, Field(ge=0, le=255)]


class Splits(Settings):
    """Relative sizes of the splits, used if the data does not have its own."""

    train: Positive = 8
    """Share for training."""
    eval: Positive = 1
    """Share that controls training: early stopping, learning rate, choice between the phases."""
    test: Positive = 1
    """Share for the final evaluation, which decides the blessing; not used before."""


class Columns(Settings):
    """Names of the columns of a list, where they are not the usual ones; null for these."""

    path: str | None = None
    """Column with the path of the image, relative to the folder of the list."""
    label: str | None = None
    """Column with the class."""
    split: str | None = None
    """Column with the split; empty if edgetune is to divide the images, whatever columns there are."""

    @property
    def given(self) -> dict[str, str]:
        """The columns that are named, by role."""
        return self.model_dump(exclude_none=True)


class DataSettings(Settings):
    """The images: where they are, how they are read, and when they are rejected."""

    path: str
    """Folder with `<class>/**` or `{train,eval,test}/<class>/**`, folder of TFRecords, list of images
    (`path,label[,split]` as CSV or Parquet), or `embedded:digits`."""
    splits: Splits = Splits()
    """Relative sizes of the splits; images keep the split that an earlier run of the same name gave them."""
    tfrecord_pattern: str = "*.tfrecord*"
    """Glob pattern of the files to read in a folder of TFRecords."""
    columns: Columns = Columns()
    """Names of the columns of a list; the usual ones, such as `filename`, `class` and `ML_USE`, are found."""
    image_feature: str = "image"
    """Feature with the encoded image, in each tf.Example of a TFRecord."""
    label_feature: str = "label"
    """Feature with the label, as bytes or as an integer, in each tf.Example of a TFRecord."""
    group: Annotated[str, Field(min_length=1)] | None = None
    """What says which images no split may separate, such as those of one patient, site or video: a column of the list,
    a feature of the records, or, if it has parentheses and none has this name, a regular expression that is searched
    for in each path below `data.path`, of which the one group is taken: `patient([0-9]+)_`. Near-duplicates stay
    together in any case."""
    max_rejected: Fraction = 0.05
    """Maximum fraction of unreadable files among those that are images by name or content; with more, the run stops."""
    max_pixels: Positive = bounds.MAX_PIXELS
    """Images with more pixels are rejected (the default is Pillow's own limit against decompression bombs)."""
    verify_images: bool = False
    """Whether Pillow decodes each JPEG and PNG in a process that may die before TensorFlow does in that of ingest; for
    images of attackers. A JPEG takes a third more processor time, a PNG more than twice as much."""
    max_list_bytes: Positive = bounds.MAX_LIST
    """Maximum size of a list of images, in bytes; it is read into memory."""
    max_records: Positive = bounds.MAX_RECORDS
    """Maximum number of records in one TFRecord file, and of images in a list."""
    max_unpack_ratio: Positive = bounds.MAX_UNPACK_RATIO
    """Maximum number of bytes that a compressed TFRecord file unpacks to for each of its own bytes, beyond the first
    16 MiB; a record counts as at least 1 KiB."""
    max_side: Positive | None = 640
    """Larger images are scaled down to this longer side, in pixels, when they are read; null keeps their size up to
    16,384 pixels. The default is above the default `model.image_size` of every backbone."""
    background: Annotated[tuple[Level, ...], Field(min_length=3, max_length=3)] = (255, 255, 255)
    """Colour shown behind transparent pixels: red, green and blue."""
    on_duplicates: Literal["group", "drop", "fail"] = "group"
    """Handling of near-duplicates: `group` keeps them in one split, `drop` keeps one of them, `fail` stops the run."""
    duplicate_distance: Annotated[int, Field(ge=0, le=24)] = 12
    """Images are near-duplicates if at most this many of the 256 bits of their hashes differ; 0: equal pixels only."""
    min_examples_per_class: Positive = 10
    """Minimum number of images per class, over all splits."""
    max_imbalance: Annotated[float, Field(ge=1)] = 20.0
    """Maximum ratio between the numbers of images in the largest and in the smallest class."""
    min_side: Positive = 8
    """Minimum length of an image's shorter side, in pixels."""
    max_label_drift: Fraction = 0.3
    """Maximum change in any class's share since the data of the last blessed model (L-infinity distance)."""
    max_image_drift: Fraction = 0.3
    """Maximum change in sizes and colours since those data (Jensen-Shannon divergence of each statistic)."""
    review_labels: bool = True
    """Whether to look for labels that are probably wrong, and for images that resemble no other, before training. It
    takes one pass of all images through the pretrained backbone."""
    max_label_errors: Fraction = 1.0
    """Maximum share of labels that are probably wrong; with more, the run stops. By default none stops it: how many
    are found depends on how hard the classes are to distinguish."""
    unknown: str | None = None
    """Folder of images that show none of the classes, to measure how often they reach the threshold of one; null if
    there is none. Folders inside it are read too."""
    allow: tuple[Annotated[str, Field(pattern=f"^({'|'.join(FINDINGS)})(:.+)?$")], ...] = ()
    """Findings to tolerate, each by its name alone or with a file, class or feature: `two_labels:cats/1.jpg`."""

    @field_validator("group")
    @classmethod
    def _one_group(cls, value: str | None) -> str | None:
        if value is not None and "(" in value:
            try:
                number = re.compile(value).groups
            except re.error as error:
                raise ValueError(f"group {value!r} is not a regular expression: {error}") from error
            if number != 1:
                raise ValueError(f"group {value!r} has {number} groups in parentheses instead of one")
        return value

    @model_validator(mode="after")
    def _some_images_can_pass(self) -> DataSettings:
        if self.max_side is not None and self.min_side > self.max_side:
            raise Contradiction(
                f"min_side {self.min_side} is more than max_side {self.max_side}: all images are scaled down to "
                "max_side when they are read, and would then be too small",
                "raise data.max_side, or lower data.min_side",
            )
        if self.min_side**2 > self.max_pixels:
            raise Contradiction(
                f"min_side {self.min_side} means at least {self.min_side**2:,} pixels, more than max_pixels "
                f"{self.max_pixels:,}: no image can have both",
                "raise data.max_pixels, or lower data.min_side",
            )
        return self
