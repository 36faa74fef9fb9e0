"""Activations of the frozen part of the network, computed once for all epochs of both phases.

Phase 1 trains on the pooled features of the whole backbone, phase 2 on the activations at the cut. To keep
augmentation, several views of each training image are cached, and each epoch picks one of them at random. A view costs
a forward pass over all images, so it is computed when a phase first needs it; the head needs fewer views than
fine-tuning.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from edgetune.modules.core import progress
from edgetune.modules.examples import records
from edgetune.modules.settings.run import TrainingSettings
from edgetune.modules.training import devices
from edgetune.modules.training.activation_cache import Arrays, Writer, open_or_build
from edgetune.modules.training.augmentation import augment, changes
from edgetune.modules.training.epochs import Epochs

CUT, POOLED, LABEL = "cut", "pooled", "label"
EVAL = "eval"
BATCH = 32
"""Images in one pass through the frozen network."""
_REPORT_EVERY = 10
MAX_VIEWS = 64
"""Upper bound of `views` in the settings. The seed of a view's augmentation combines image and view in one number."""


def view(number: int) -> str:
    """Return the name of the cache part that holds this view of all training images."""
    return f"view-{number}"


class FrozenFeatures:
    """The cached arrays as batched datasets; missing arrays are computed on first use.

    Args:
        folder: Folder of all caches, on a local disk.
        examples_uri: Artifact of transformed examples.
        image_size: S, in pixels.
        network: Maps images float32 `[N, S, S, 3]` in 0..255 to a dictionary of `POOLED` and, if there is a phase 2,
            `CUT`. Its weights must not change until all arrays in use have been computed.
        network_key: Identifies `network` and its weights.
        settings: Seed, batch size, augmentation and numbers of views.
    """

    def __init__(
        self,
        folder: Path,
        examples_uri: str,
        image_size: int,
        network: keras.Model,
        network_key: str,
        settings: TrainingSettings,
    ) -> None:
        self._folder, self._examples_uri, self._image_size = folder, examples_uri, image_size
        self._network, self._settings = network, settings
        key = {
            "network": network_key,
            "outputs": {name: str(output.shape) for name, output in network.output.items()},
            "records": {split: records.digests(examples_uri, split) for split in ("train", EVAL)},
            "augmentation": settings.augmentation.model_dump(mode="json"),
            "seed": settings.seed,
            "versions": [tf.__version__, keras.__version__],
            # A GPU rounds differently, by as much as float16 can show. The result of a training must not depend on
            # the device on which an earlier run filled the cache.
            "device": devices.default_device(),
        }
        self._key = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        cache = settings.activation_cache
        # Without augmentation, all views are equal.
        views = cache.views if changes(settings.augmentation) else 1
        self.views = {CUT: views, POOLED: min(views, cache.head_views) if CUT in network.output else views}
        """Number of views of each image that an epoch chooses from."""

    def arrays(self, part: str) -> Arrays:
        """Return `cut` float16 `[N, h, w, c]`, `pooled` float32 `[N, C]` and `label` int64 `[N]`, a row per image.

        Args:
            part: `EVAL`, or a `view` of the train split. Without a phase 2 there is no `cut`.

        Raises:
            TrainingError: The disk is full.
        """
        return open_or_build(self._folder, self._key, part, functools.partial(self._extract, part))

    def train(self, kind: str) -> Epochs:
        """Return batches of `CUT` or `POOLED`, float32, and labels; each epoch has every image once, in a new order."""
        parts = [self.arrays(view(number)) for number in range(self.views[kind])]
        return epochs([part[kind] for part in parts], parts[0][LABEL], self._settings)

    def evaluation(self, kind: str) -> tf.data.Dataset:
        """Return the same batches for eval, without augmentation and in a fixed order."""
        part = self.arrays(EVAL)
        return in_order(part[kind], part[LABEL], self._settings.batch_size)

    def _extract(self, part: str, writer: Writer) -> None:
        seen = 0
        for number, (images, labels) in enumerate(self._augmented_images(part)):
            outputs = self._function(images)
            writer.append(POOLED, outputs[POOLED].numpy())
            if CUT in outputs:
                # Half the bytes; rounding to float16, 0.05 %, is negligible beside dropout and augmentation.
                writer.append(CUT, outputs[CUT].numpy().astype(np.float16))
            writer.append(LABEL, labels.numpy())
            seen += len(labels)
            if number % _REPORT_EVERY == 0:
                progress.report(f"frozen part: {seen} images of {part}")

    def _augmented_images(self, part: str) -> tf.data.Dataset:
        """Return batches of images float32 `[n, S, S, 3]` and labels, in the order of the files."""
        if part == EVAL:
            examples = records.transformed(self._examples_uri, EVAL, self._image_size)
            examples = examples.map(lambda image, label: (tf.cast(image, tf.float32), label))
        else:
            which = next(number for number in range(MAX_VIEWS) if view(number) == part)

            def change(number: tf.Tensor, example: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
                seed = tf.stack([tf.constant(self._settings.seed, tf.int64), number * MAX_VIEWS + which])
                return augment(example[0], seed, self._settings.augmentation), example[1]

            examples = records.transformed(self._examples_uri, "train", self._image_size).enumerate()
            examples = examples.map(change, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return examples.batch(BATCH).prefetch(tf.data.AUTOTUNE)

    @functools.cached_property
    def _function(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        return frozen_function(self._network)


def epochs(
    views: Sequence[np.ndarray], labels: np.ndarray, settings: TrainingSettings, images: np.ndarray | None = None
) -> Epochs:
    """Return batches of cached features, float32, and labels; each epoch has every image once, in a new order.

    Args:
        views: Arrays `[N, ...]`, of which each epoch takes one at random for each image.
        labels: int64 `[N]`.
        settings: Seed and batch size.
        images: int `[n]`: rows to train on; by default all.
    """
    rows = np.arange(len(labels)) if images is None else images

    def of(epoch: tf.Tensor) -> tf.data.Dataset:
        seeds = tf.random.experimental.stateless_split(tf.stack([settings.seed, epoch]), 2)
        order = tf.argsort(tf.random.stateless_uniform([len(rows)], seeds[0]))
        which = tf.random.stateless_uniform([len(rows)], seeds[1], 0, len(views), tf.int32)
        chosen = tf.data.Dataset.from_tensor_slices((tf.gather(rows, order), which))
        return _batches(views, labels, chosen, settings.batch_size)

    return Epochs(of, lambda: -(-len(rows) // settings.batch_size))


def in_order(
    features: np.ndarray, labels: np.ndarray, batch_size: int, images: np.ndarray | None = None
) -> tf.data.Dataset:
    """Return the same batches of one view, in the order of the rows; by default of all rows."""
    rows = np.arange(len(labels)) if images is None else images
    chosen = tf.data.Dataset.from_tensor_slices((rows, np.zeros_like(rows)))
    batches = _batches([features], labels, chosen, batch_size).prefetch(tf.data.AUTOTUNE)
    return batches.apply(tf.data.experimental.assert_cardinality(-(-len(rows) // batch_size)))


def _batches(
    views: Sequence[np.ndarray], labels: np.ndarray, chosen: tf.data.Dataset, batch_size: int
) -> tf.data.Dataset:
    """Return batches of rows and labels; `chosen` yields the number of each image and of its view."""

    def fetch(image: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.empty((len(image), *views[0].shape[1:]), views[0].dtype)
        for number, features in enumerate(views):
            rows[which == number] = features[image[which == number]]
        return rows, labels[image]

    def batch(image: tf.Tensor, which: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows, label = tf.numpy_function(fetch, [image, which], [views[0].dtype, labels.dtype], stateful=False)
        rows = tf.ensure_shape(rows, [None, *views[0].shape[1:]])
        return tf.cast(rows, tf.float32), tf.ensure_shape(label, [None])

    return chosen.batch(batch_size).map(batch)


def frozen_function(network: keras.Model) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Return `network` for inference with its weights as graph constants.

    Only then does TensorFlow fuse convolution, batch normalisation and activation, which is 1.5 times as fast.
    """
    trainable, others = (
        [variable.numpy() for variable in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables)
    )

    @tf.function(input_signature=[tf.TensorSpec([None, *network.input_shape[1:]], tf.float32)], autograph=False)
    def function(images: tf.Tensor) -> dict[str, tf.Tensor]:
        # Created inside the function: tensors from outside would become inputs of the graph.
        constants = [[tf.constant(value) for value in values] for values in (trainable, others)]
        outputs, _ = network.stateless_call(*constants, images, training=False)
        return outputs

    return function.get_concrete_function()
