"""Pooled features of the frozen backbone for the raw examples of all splits, in one pass, cached on disk.

TwoPhaseTrainer caches those of transformed examples (`modules.training.cached_features`). A cross-validation needs to
know which image, and which group of near-duplicates, a row is of, and transformed examples do not say it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from edgetune.modules.contracts.example_features import IMAGE, IMAGE_ID, LABEL, SPLIT_GROUP, SPLITS
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


def raw_features(
    folder: Path,
    examples_uri: str,
    labels: Sequence[str],
    model: ModelSettings,
    settings: TrainingSettings,
    reading: Reading,
) -> RawFeatures:
    """Return the features of all raw examples; they are computed if the cache does not have them.

    The backbone is the pretrained one. The fine-tuned one has learned from the images of the train split, so its
    features of an image that is held out of a head's training would still know that image.

    Args:
        folder: Folder of all caches, on a local disk. An image takes `4 c` bytes for each view and one more.
        examples_uri: Artifact of raw examples.
        labels: Names of the classes, in the order of their indices.
        model: The backbone, its weights and the image size.
        settings: Seed, augmentation, and `activation_cache.head_views`: as many views as phase 1 trains on.
        reading: The options of reading that Transform has.

    Raises:
        DataError: An image has no group, or a class that is not in `labels`.
        WeightsError: The weights are unavailable or do not match the architecture.
        TrainingError: The disk is full.
    """
    cache = settings.activation_cache
    views = min(cache.views, cache.head_views) if changes(settings.augmentation) else 0
    key = {
        "backbone": model.model_dump(mode="json", exclude={"head", "weights"}),
        "weights": weights_digest(model),
        "code": code_digest(__name__),
        "records": {split: records.digests(examples_uri, split) for split in SPLITS},
        "labels": list(labels),
        "reading": asdict(reading),
        "augmentation": settings.augmentation.model_dump(mode="json"),
        "views": views,
        "seed": settings.seed,
        "versions": [tf.__version__, keras.__version__],
        "device": devices.default_device(),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    build = functools.partial(_extract, examples_uri, labels, model, settings, views, reading)
    arrays = open_or_build(folder, digest, "raw", build)
    return RawFeatures(
        pooled=arrays[POOLED],
        views=tuple(arrays[view(number)] for number in range(views)) or (arrays[POOLED],),
        label=arrays[LABEL],
        image_id=_texts(arrays[IMAGE_ID]),
        group=_texts(arrays[SPLIT_GROUP]),
    )


def _extract(
    examples_uri: str,
    labels: Sequence[str],
    model: ModelSettings,
    settings: TrainingSettings,
    views: int,
    reading: Reading,
    writer: Writer,
) -> None:
    keras.utils.set_random_seed(settings.seed)  # for weights `none`
    backbone = build_backbone(model)
    function = frozen_function(keras.Model(backbone.input, {POOLED: pool(backbone.output)}))
    index = {label.encode(): number for number, label in enumerate(labels)}
    seen = 0
    for images, example in _images(examples_uri, model.image_size, settings, views, reading):
        count = len(example[LABEL])
        # All views of an image pass through the network together: [n, 1 + V, S, S, 3] as [n (1 + V), S, S, 3].
        pooled = function(tf.reshape(images, [-1, *images.shape[2:]]))[POOLED].numpy().reshape(count, 1 + views, -1)
        for number, name in enumerate([POOLED, *(view(number) for number in range(views))]):
            writer.append(name, np.ascontiguousarray(pooled[:, number]))
        writer.append(LABEL, np.array([_index(index, label) for label in example[LABEL].numpy()], np.int64))
        for name in (IMAGE_ID, SPLIT_GROUP):
            writer.append(name, _characters(example[name].numpy(), name))
        if seen // _REPORT_EVERY != (seen + count) // _REPORT_EVERY or not seen:
            progress.report(f"frozen backbone: {seen + count} images")
        seen += count


def _images(
    examples_uri: str, image_size: int, settings: TrainingSettings, views: int, reading: Reading
) -> tf.data.Dataset:
    """Return batches of float32 `[n, 1 + V, S, S, 3]`, the image itself first, and of what names the images."""

    def change(number: tf.Tensor, example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        image = decode(example[IMAGE], image_size, reading)
        seeds = [tf.stack([tf.constant(settings.seed, tf.int64), number * MAX_VIEWS + v]) for v in range(views)]
        changed = [augment(image, seed, settings.augmentation) for seed in seeds]
        named = {name: example[name] for name in (LABEL, IMAGE_ID, SPLIT_GROUP)}
        return tf.stack([tf.cast(image, tf.float32), *changed]), named

    splits = [records.identified(examples_uri, split) for split in SPLITS]
    examples = functools.reduce(lambda one, other: one.concatenate(other), splits).enumerate()
    examples = examples.map(change, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return examples.batch(max(1, BATCH // (1 + views))).prefetch(2)


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
