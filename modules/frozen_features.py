"""What the frozen part of the network makes of the images, computed once for all epochs of both phases.

Phase 1 trains on the pooled features of the whole backbone, phase 2 on the activations at the cut. Augmentation
survives as several views of each training image: an epoch takes one of them at random.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from modules import progress, records
from modules.activation_cache import Arrays, Writer, open_or_build
from modules.augmentation import augment, changes
from modules.settings import TrainingSettings

CUT, POOLED, LABEL = "cut", "pooled", "label"
_BATCH = 32
_REPORT_EVERY = 10


@dataclass(frozen=True)
class FrozenFeatures:
    """The cached arrays, as datasets of batches."""

    arrays: Arrays
    """`train_cut` float16 `[N * K, h, w, c]`, `train_pooled` float32 `[N * K, C]`, `train_label` int64 `[N]`, where
    row `i * K + k` is view `k` of image `i`; and the same of eval with K = 1. Without a cut there is no `cut`."""
    views: int
    settings: TrainingSettings

    def train(self, kind: str) -> tf.data.Dataset:
        """Batches of `CUT` or `POOLED`, float32, and labels: every image once, one of its views, in a new order."""
        return self._batches("train", kind, self.views, shuffled=True)

    def evaluation(self, kind: str) -> tf.data.Dataset:
        """The same of eval, without change and in a fixed order."""
        return self._batches("eval", kind, 1, shuffled=False)

    def _batches(self, split: str, kind: str, views: int, shuffled: bool) -> tf.data.Dataset:
        features, labels = self.arrays[f"{split}_{kind}"], self.arrays[f"{split}_{LABEL}"]
        images, size = len(labels), self.settings.batch_size
        chosen = tf.data.Dataset.range(images)
        if shuffled:
            # tf.data mixes the global seed into each seed that it is given, and what ran before may have set one.
            keras.utils.set_random_seed(self.settings.seed)
            numbers = tf.data.Dataset.random(self.settings.seed, rerandomize_each_iteration=True)
            chosen = tf.data.Dataset.zip((chosen.shuffle(images, self.settings.seed), numbers))
            chosen = chosen.map(lambda image, number: (image, image * views + number % views))
        else:
            chosen = chosen.map(lambda image: (image, image * views))

        def fetch(image: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return features[row], labels[image]

        def batch(image: tf.Tensor, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows, label = tf.numpy_function(fetch, [image, row], [features.dtype, labels.dtype], stateful=False)
            rows = tf.ensure_shape(rows, [None, *features.shape[1:]])
            return tf.cast(rows, tf.float32), tf.ensure_shape(label, [None])

        batches = chosen.batch(size).map(batch).prefetch(tf.data.AUTOTUNE)
        return batches.apply(tf.data.experimental.assert_cardinality(-(-images // size)))


def frozen_features(
    folder: Path,
    examples_uri: str,
    image_size: int,
    network: keras.Model,
    network_key: str,
    settings: TrainingSettings,
) -> FrozenFeatures:
    """Opens the cache, or fills it.

    Args:
        folder: Of all caches, on a local disk.
        examples_uri: Artifact of transformed examples.
        image_size: S, in pixels.
        network: Images float32 `[N, S, S, 3]` in 0..255 to a dictionary of `POOLED` and, where there is a phase 2,
            `CUT`. Its weights are not changed.
        network_key: Stands for `network` and its weights.
        settings: Seed, batch size, augmentation and the number of views, K, are used.

    Raises:
        TrainingError: The disk is full.
    """
    # Without augmentation all views would be equal.
    views = settings.activation_cache.views if changes(settings.augmentation) else 1
    files = {split: records.split_files(examples_uri, split) for split in ("train", "eval")}
    key = {
        "network": network_key,
        "outputs": {name: str(output.shape) for name, output in network.output.items()},
        "records": [[path, tf.io.gfile.stat(path).length] for paths in files.values() for path in paths],
        "augmentation": settings.augmentation.model_dump(mode="json"),
        "seed": settings.seed,
        "views": views,
        "versions": [tf.__version__, keras.__version__],
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()

    def build(writer: Writer) -> None:
        function = _frozen_function(network)
        for split, count in (("train", views), ("eval", 1)):
            _extract(writer, split, _views(examples_uri, split, image_size, settings, count), count, function)

    return FrozenFeatures(open_or_build(folder, digest, build), views, settings)


def _views(examples_uri: str, split: str, image_size: int, settings: TrainingSettings, views: int) -> tf.data.Dataset:
    """Batches of images float32, labels, and rows of the array that they belong to, in their order."""

    def rows(number: tf.Tensor, example: tuple[tf.Tensor, tf.Tensor]) -> tf.data.Dataset:
        return tf.data.Dataset.range(number * views, (number + 1) * views).map(lambda row: (*example, row))

    def change(image: tf.Tensor, label: tf.Tensor, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if split == "train":
            seed = tf.stack([tf.constant(settings.seed, tf.int64), row])
            return augment(image, seed, settings.augmentation), label, row
        return tf.cast(image, tf.float32), label, row

    examples = records.transformed(examples_uri, split, image_size).enumerate().flat_map(rows)
    examples = examples.map(change, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return examples.batch(_BATCH).prefetch(tf.data.AUTOTUNE)


def _extract(
    writer: Writer,
    split: str,
    batches: tf.data.Dataset,
    views: int,
    function: Callable[[tf.Tensor], dict[str, tf.Tensor]],
) -> None:
    for number, (images, labels, rows) in enumerate(batches):
        outputs = function(images)
        writer.append(f"{split}_{POOLED}", outputs[POOLED].numpy())
        if CUT in outputs:
            # Half the bytes. Of float16's rounding, 0.05 %, nothing is seen beside dropout and augmentation.
            writer.append(f"{split}_{CUT}", outputs[CUT].numpy().astype(np.float16))
        writer.append(f"{split}_{LABEL}", labels.numpy()[rows.numpy() % views == 0])
        if number % _REPORT_EVERY == 0:
            progress.report(f"frozen part: {rows.numpy()[-1] + 1} views of {split}")


def _frozen_function(network: keras.Model) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """`network` for inference, its weights constants: only then does TensorFlow fuse convolution, batch normalisation
    and activation, which is half as fast again."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    names = sorted(network.output)
    shape = [None, *network.input_shape[1:]]
    traced = tf.function(lambda images: [network(images, training=False)[name] for name in names])
    constant = convert_variables_to_constants_v2(traced.get_concrete_function(tf.TensorSpec(shape, tf.float32)))

    def function(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(names, constant(images), strict=True))

    return function
