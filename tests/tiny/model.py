"""A SavedModel that distinguishes colours, small enough for tests, with the signatures that the trainer writes.

Its weights are set by hand, so it needs no training to be right on the images made here: an image belongs to the class
of its strongest channel. It depends on its normalization: on pixels in 0..255 that are not normalized, every channel
saturates and all classes look alike.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from edgetune.modules.contracts import example_features, signatures
from edgetune.modules.examples.pixel_packing import pack
from edgetune.modules.images.decode import decode_to_raw, from_raw
from edgetune.modules.models.blocks import build_backbone
from edgetune.modules.settings.run import ModelSettings
from tests.helpers import recorded_shards

LABELS = ("blue", "green", "red")
SIZE = 32
_CHANNEL = {"red": 0, "green": 1, "blue": 2}


def colour_net(labels: Sequence[str] = LABELS, size: int = SIZE, *, normalise: bool = True) -> keras.Model:
    """Return the hand-made classifier: float32 `[N, size, size, 3]` in 0..255 to probabilities in `labels` order.

    Args:
        labels: Class names, each of `LABELS`.
        size: Height and width of the input, in pixels.
        normalise: False omits the normalization, like a broken export.
    """
    image = keras.Input((size, size, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image) if normalise else image
    conv = keras.layers.Conv2D(3, 3, padding="same")
    dense = keras.layers.Dense(len(labels), activation="softmax")
    x = keras.layers.ReLU(max_value=6.0)(conv(x))
    model = keras.Model(image, dense(keras.layers.GlobalAveragePooling2D()(x)))
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[1, 1] = 3.0 * np.eye(3)
    conv.set_weights([kernel, np.full(3, 3.0, np.float32)])
    chosen = np.zeros((3, len(labels)), np.float32)
    for column, label in enumerate(labels):
        chosen[_CHANNEL[label], column] = 2.0
    dense.set_weights([chosen, np.zeros(len(labels), np.float32)])
    return model


def mobilenet(labels: Sequence[str] = LABELS, size: int = SIZE) -> keras.Model:
    """Return the first blocks of a real backbone with random weights: they have every operation of the whole one."""
    keras.utils.set_random_seed(3)
    backbone = build_backbone(ModelSettings(alpha=0.35, image_size=size), pretrained=False)
    x = keras.layers.GlobalAveragePooling2D()(backbone.get_layer("block_2_add").output)
    return keras.Model(backbone.input, keras.layers.Dense(len(labels), activation="softmax")(x))


def save(model: keras.Model, folder: Path, labels: Sequence[str] = LABELS) -> str:
    """Write `model` as a SavedModel with the contract's signatures.

    Args:
        model: A model of float32 `[N, S, S, 3]` in 0..255 to probabilities `[N, C]`.
        folder: Folder of the SavedModel; it is created.
        labels: The model's classes, in the order of its outputs.

    Returns:
        The folder, as a string.
    """
    size = int(model.input.shape[1])
    vocabulary = folder.parent / f"{folder.name}-source" / signatures.LABELS_FILE
    vocabulary.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    held = tf.Module()  # a table from a file, like Transform's vocabulary, so that the file becomes an asset
    line = tf.lookup.TextFileIndex
    entries = tf.lookup.TextFileInitializer(str(vocabulary), tf.string, line.WHOLE_LINE, tf.int64, line.LINE_NUMBER)
    held.table = tf.lookup.StaticHashTable(entries, -1)
    parsed = {
        example_features.IMAGE: tf.io.FixedLenFeature([], tf.string),
        example_features.LABEL: tf.io.FixedLenFeature([], tf.string, ""),
    }
    names = tf.constant(labels)

    def probabilities(encoded: tf.Tensor) -> tf.Tensor:
        return model(tf.cast(from_raw(decode_to_raw(encoded, size), size), tf.float32), training=False)

    def serving(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = probabilities(image_bytes)
        return {
            signatures.PROBABILITIES: scores,
            signatures.LABEL: tf.gather(names, tf.argmax(scores, axis=-1)),
            signatures.SCORE: tf.reduce_max(scores, axis=-1),
        }

    def examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {signatures.PROBABILITIES: probabilities(tf.io.parse_example(examples, parsed)[example_features.IMAGE])}

    def transform(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        example = tf.io.parse_example(examples, parsed)
        raw = decode_to_raw(example[example_features.IMAGE], size)
        return {
            example_features.IMAGE: raw,
            example_features.LABEL_INDEX: held.table.lookup(example[example_features.LABEL]),
        }

    def edge(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {signatures.PROBABILITIES: model(image, training=False)}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive._tf_trackable.held = held
    encoded = [tf.TensorSpec([None], tf.string, signatures.IMAGE_BYTES)]
    serialized = [tf.TensorSpec([None], tf.string, signatures.SERIALIZED)]
    archive.add_endpoint(signatures.SERVING, serving, encoded)
    archive.add_endpoint(signatures.EXAMPLES, examples, serialized)
    archive.add_endpoint(signatures.TRANSFORM, transform, serialized)
    archive.add_endpoint(signatures.EDGE, edge, [tf.TensorSpec([1, size, size, 3], tf.float32, signatures.IMAGE)])
    archive.write_out(str(folder), verbose=False)
    return str(folder)


def save_edge(model: keras.Model, folder: Path) -> str:
    """Write `model` as a SavedModel with the signature that is converted only, in a third of the time of `save`."""

    def edge(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {signatures.PROBABILITIES: model(image, training=False)}

    archive = keras.export.ExportArchive()
    archive.track(model)
    shape = [1, *model.input.shape[1:]]
    archive.add_endpoint(signatures.EDGE, edge, [tf.TensorSpec(shape, tf.float32, signatures.IMAGE)])
    archive.write_out(str(folder), verbose=False)
    return str(folder)


def image(label: str, seed: int, size: int = SIZE) -> np.ndarray:
    """Return uint8 `[size, size, 3]`: noise with the channel of `label` as the strongest."""
    noise = np.random.default_rng(seed).integers(20, 140, (size, size, 3), dtype=np.uint8)
    noise[..., _CHANNEL[label]] += 60
    return noise


def png(pixels: np.ndarray) -> bytes:
    """Return the pixels as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def examples(each: int, labels: Iterable[str] = LABELS, size: int = SIZE) -> Iterator[tuple[np.ndarray, str]]:
    """Yield images of every class in turn, `each` of them."""
    for seed in range(each):
        for label in labels:
            yield image(label, seed * 100 + _CHANNEL[label], size), label


def write_raw(uri: Path, split: str, pairs: Iterable[tuple[bytes, str]], groups: Iterable[str] | None = None) -> None:
    """Write raw examples, pairs of an encoded image and its class name, as a split of an `Examples` artifact.

    An image's id is the digest of its bytes, and its group, if there are names of groups, that of the group's name. Its
    file is `<class>/<split>-<number>.png`.
    """
    named = [{example_features.SPLIT_GROUP: _digest(name.encode())} for name in groups] if groups else repeat({})
    _write(
        uri,
        split,
        (
            {
                example_features.IMAGE: encoded,
                example_features.LABEL: label.encode(),
                example_features.IMAGE_ID: _digest(encoded),
                example_features.SOURCE: f"{label}/{split}-{number}.png".encode(),
                **group,
            }
            for number, ((encoded, label), group) in enumerate(zip(pairs, named, strict=False))
        ),
    )


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def write_transformed(uri: Path, split: str, pairs: Iterable[tuple[np.ndarray, str]]) -> None:
    """Write transformed examples from pairs of pixels and class name."""
    _write(
        uri,
        split,
        (
            {example_features.IMAGE: pack(pixels.tobytes()), example_features.LABEL_INDEX: LABELS.index(label)}
            for pixels, label in pairs
        ),
    )


def _write(uri: Path, split: str, features: Iterable[dict[str, bytes | int]]) -> None:
    folder = uri / f"Split-{split}"
    folder.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / "data-00000-of-00001.gz"), "GZIP") as writer:
        for values in features:
            example = tf.train.Example()
            for name, value in values.items():
                feature = example.features.feature[name]
                if isinstance(value, bytes):
                    feature.bytes_list.value.append(value)
                else:
                    feature.int64_list.value.append(value)
            writer.write(example.SerializeToString())
    recorded_shards.record(uri)
