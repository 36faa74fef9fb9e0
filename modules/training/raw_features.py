"""Pooled features of the frozen backbone for the raw examples of all splits, cached on disk.

TwoPhaseTrainer caches those of transformed examples (`modules.training.cached_features`). A cross-validation and the
review of labels need to know which image, and which group of near-duplicates, a row is of, and transformed examples do
not say it. Both use the same features of the images as the model sees them; they are computed by whichever runs first,
if the artifacts are on a local disk.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgetune.modules.contracts.example_features import IMAGE, IMAGE_ID, LABEL, PLAIN, SPLIT_GROUP, SPLITS
from edgetune.modules.core import progress
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.errors import DataError
from edgetune.modules.examples import records
from edgetune.modules.images.decode import decode
from edgetune.modules.images.reading import Reading
from edgetune.modules.models.blocks import build_backbone
from edgetune.modules.models.classifier import pool
from edgetune.modules.models.weights import weights_digest
from edgetune.modules.settings.run import ModelSettings, TrainingSettings
from edgetune.modules.training import devices
from edgetune.modules.training.activation_cache import Writer, open_or_build
from edgetune.modules.training.augmentation import augment, changes
from edgetune.modules.training.cached_features import BATCH, MAX_VIEWS, POOLED, frozen_function, view

_HEXADECIMAL = 64
"""Length of an image's id and of its group's."""
_REPORT_EVERY = 500
_KEYS = 4
"""Keys that stay in the cache: of two settings, one without augmentation and one of views each."""
REVIEW_REMEDY = "free some space, or set data.review_labels to false"
FOLDS_REMEDY = "free some space, lower training.activation_cache.head_views, or set evaluation.folds to 0"
"""What to do if the disk is full, by what computes the features: each obeys other settings."""


@dataclass(frozen=True)
class RawFeatures:
    """Features of N images of all splits, memory-mapped; their order is that of the files."""

    pooled: np.ndarray
    """float32 `[N, c]`: of the images as the model sees them."""
    views: tuple[np.ndarray, ...]
    """float32 `[N, c]` each: of the augmented images that a head trains on; `pooled` alone without augmentation."""
    label: np.ndarray
    """int64 `[N]`: index of the class."""
    image_id: np.ndarray
    """bytes `[N]`: 64 hexadecimal digits."""
    group: np.ndarray
    """bytes `[N]`: 64 hexadecimal digits, the same for all near-duplicates of an image."""


def clean_features(
    folder: Path,
    examples_uri: str,
    labels: Sequence[str],
    model: ModelSettings,
    seed: int,
    reading: Reading,
    remedy: str = REVIEW_REMEDY,
) -> RawFeatures:
    """Return the features of all raw examples without augmentation; they are computed if the cache does not have them.

    The backbone is the pretrained one. The fine-tuned one has learned from the images of the train split, so its
    features of an image that is held out of a head's training would still know that image.

    Args:
        folder: Folder of all caches, on a local disk. An image takes `4 c` bytes.
        examples_uri: Artifact of raw examples.
        labels: Names of the classes, in the order of their indices.
        model: The backbone, its weights and the image size.
        seed: Of the weights `none`.
        reading: The options of reading that Transform has.
        remedy: What to do if the disk is full.

    Raises:
        DataError: An image has no group, or a class that is not in `labels`.
        WeightsError: The weights are unavailable or do not match the architecture.
        TrainingError: The disk is full.
    """
    key = _key(examples_uri, labels, model, seed, reading)
    build = functools.partial(_extract, examples_uri, labels, model, seed, reading)
    arrays = open_or_build(folder, _digest(key), "clean", build, keys=_KEYS, remedy=remedy)
    pooled = arrays[POOLED]
    return RawFeatures(pooled, (pooled,), arrays[LABEL], _texts(arrays[IMAGE_ID]), _texts(arrays[SPLIT_GROUP]))


def raw_features(
    folder: Path,
    examples_uri: str,
    labels: Sequence[str],
    model: ModelSettings,
    settings: TrainingSettings,
    reading: Reading,
) -> RawFeatures:
    """Return the features of all raw examples, with augmented views; what the cache does not have is computed.

    Args:
        folder: Folder of all caches, on a local disk. An image takes `4 c` bytes for each view and one more.
        examples_uri: Artifact of raw examples.
        labels: Names of the classes, in the order of their indices.
        model: The backbone, its weights and the image size.
        settings: Seed, augmentation, and `activation_cache.head_views`: as many views as phase 1 trains on.
        reading: The options of reading that Transform has.

    Raises:
        DataError: As of `clean_features`.
        WeightsError: As of `clean_features`.
        TrainingError: The disk is full.
    """
    clean = clean_features(folder, examples_uri, labels, model, settings.seed, reading, FOLDS_REMEDY)
    cache = settings.activation_cache
    views = min(cache.views, cache.head_views) if changes(settings.augmentation) else 0
    if not views:
        return clean
    key = {
        **_key(examples_uri, labels, model, settings.seed, reading),
        "augmentation": settings.augmentation.model_dump(mode="json"),
        "augmentation_seed": settings.seed,
        "views": views,
    }
    build = functools.partial(_extract_views, examples_uri, model, settings, views, reading)
    arrays = open_or_build(folder, _digest(key), "views", build, keys=_KEYS, remedy=FOLDS_REMEDY)
    return replace(clean, views=tuple(arrays[view(number)] for number in range(views)))


def pooled_function(model: ModelSettings, seed: int) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Return the pretrained backbone with global pooling: float32 `[N, S, S, 3]` to `POOLED`, float32 `[N, c]`.

    Args:
        model: The backbone, its weights and the image size.
        seed: Of the weights `none`.

    Raises:
        WeightsError: The weights are unavailable or do not match the architecture.
    """
    keras.utils.set_random_seed(seed)
    backbone = build_backbone(model)
    return frozen_function(keras.Model(backbone.input, {POOLED: pool(backbone.output)}))


def _key(examples_uri: str, labels: Sequence[str], model: ModelSettings, seed: int, reading: Reading) -> dict[str, Any]:
    return {
        "backbone": model.model_dump(mode="json", exclude={"head", "weights"}),
        "weights": weights_digest(model),
        "code": code_digest(__name__),
        "records": {split: records.digests(examples_uri, split) for split in SPLITS},
        "labels": list(labels),
        "reading": asdict(reading),
        "seed": seed if model.weights == "none" else None,
        "versions": [tf.__version__, keras.__version__],
        "device": devices.default_device(),
    }


def _digest(key: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _extract(
    examples_uri: str, labels: Sequence[str], model: ModelSettings, seed: int, reading: Reading, writer: Writer
) -> None:
    function = pooled_function(model, seed)
    index = {label.encode(): number for number, label in enumerate(labels)}

    def read(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        image = tf.cast(decode(example[IMAGE], model.image_size, reading, example[PLAIN] > 0), tf.float32)
        return image, {name: example[name] for name in (LABEL, IMAGE_ID, SPLIT_GROUP)}

    examples = _examples(examples_uri).map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    counted = _Counted("frozen backbone")
    for images, example in examples.batch(BATCH).prefetch(2):
        writer.append(POOLED, function(images)[POOLED].numpy())
        writer.append(LABEL, np.array([_index(index, label) for label in example[LABEL].numpy()], np.int64))
        for name in (IMAGE_ID, SPLIT_GROUP):
            writer.append(name, _characters(example[name].numpy(), name))
        counted.add(len(example[LABEL]))


def _extract_views(
    examples_uri: str, model: ModelSettings, settings: TrainingSettings, views: int, reading: Reading, writer: Writer
) -> None:
    function = pooled_function(model, settings.seed)

    def change(number: tf.Tensor, example: dict[str, tf.Tensor]) -> tf.Tensor:
        image = decode(example[IMAGE], model.image_size, reading, example[PLAIN] > 0)
        seeds = [tf.stack([tf.constant(settings.seed, tf.int64), number * MAX_VIEWS + v]) for v in range(views)]
        return tf.stack([augment(image, seed, settings.augmentation) for seed in seeds])

    examples = _examples(examples_uri).enumerate()
    examples = examples.map(change, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    counted = _Counted("frozen backbone, augmented")
    for images in examples.batch(max(1, BATCH // views)).prefetch(2):
        count = len(images)
        # All views of an image pass through the network together: [n, V, S, S, 3] as [n V, S, S, 3].
        pooled = function(tf.reshape(images, [-1, *images.shape[2:]]))[POOLED].numpy().reshape(count, views, -1)
        for number in range(views):
            writer.append(view(number), np.ascontiguousarray(pooled[:, number]))
        counted.add(count)


class _Counted:
    """Report the number of images that have passed through the network."""

    def __init__(self, what: str) -> None:
        self._what, self._seen = what, 0

    def add(self, count: int) -> None:
        before, self._seen = self._seen, self._seen + count
        if before // _REPORT_EVERY != self._seen // _REPORT_EVERY or not before:
            progress.report(f"{self._what}: {self._seen} images")


def _examples(examples_uri: str) -> tf.data.Dataset:
    """Return the raw examples of all splits, in the order of the features' rows."""
    splits = [records.identified(examples_uri, split) for split in SPLITS]
    return functools.reduce(lambda one, other: one.concatenate(other), splits)


def _index(index: dict[bytes, int], label: bytes) -> int:
    if label not in index:
        raise DataError(
            f"an image has the class {label.decode(errors='replace')}, which has no image in the train split",
            "every class needs images in train, eval and test",
        )
    return index[label]


def _characters(texts: np.ndarray, name: str) -> np.ndarray:
    """Return the texts as uint8 `[n, 64]`."""
    if any(len(text) != _HEXADECIMAL for text in texts):
        raise DataError(
            f"an example's {name} does not have {_HEXADECIMAL} hexadecimal digits", "run again with --no-cache"
        )
    return np.frombuffer(b"".join(texts), np.uint8).reshape(len(texts), _HEXADECIMAL)


def _texts(characters: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(characters).view(f"S{_HEXADECIMAL}")[:, 0]
