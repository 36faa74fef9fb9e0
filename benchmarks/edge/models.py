"""Convert the same classifier to LiteRT in two ways: as EdgeExporter does, and as TensorFlow's guides show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from benchmarks.lib.photographs import photographs
from edgetune.modules.conversion.convert import convert
from edgetune.modules.conversion.converter import Converter, OpsSet, Optimize
from edgetune.modules.examples.calibration_images import choose
from edgetune.modules.images.decode import decode
from edgetune.modules.litert.metadata import Description, add_metadata
from edgetune.modules.models.classifier import Classifier, build_classifier, pool
from edgetune.modules.serving.edge_only import export_edge
from edgetune.modules.settings.run import EdgeSettings, ModelSettings

VARIANTS = ("float32", "float16", "int8")
_BATCH = 32
_SEED = 1
_EPOCHS = 30
_TILES = 100  # per photograph


@dataclass(frozen=True)
class Plain:
    """A backbone as the guides build it."""

    builder: str
    """Name of the function in `keras.applications`."""
    normalise: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels
    """Normalisation of pixels float32 in 0..255 that its caller must do."""


PLAIN = {
    "mobilenet_v2": Plain("MobileNetV2", lambda pixels: pixels / np.float32(127.5) - np.float32(1)),
    "mobilenet_v3_small": Plain("MobileNetV3Small"),
    "mobilenet_v3_large": Plain("MobileNetV3Large"),
}


@dataclass(frozen=True)
class Images:
    """Photographs at the model's size, uint8 `[N, S, S, 3]`, with class indices int64 `[N]`."""

    classes: list[str]
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray

    def calibration(self) -> np.ndarray:
        """Return the images of `train` used for calibration by both, as many as a run uses by default."""
        return self.train[choose(self.train_labels, EdgeSettings().representative_images)]


def from_folder(folder: Path, size: int) -> Images:
    """Read the photographs of `folder/<class>/*.jpg`: of each ten, eight to fit on and two to measure on."""
    found = photographs(folder)
    arrays = []
    for part in (found["train"], [*found["eval"], *found["test"]]):
        arrays += [
            np.stack([decode(tf.io.read_file(str(photo.path)), size).numpy() for photo in part]),
            np.array([photo.label for photo in part], np.int64),
        ]
    return Images(sorted(path.name for path in folder.iterdir() if path.is_dir()), *arrays)


def tiles(size: int) -> Images:
    """Cut tiles from scikit-learn's two sample photographs: easy to classify, but sufficient for size and latency."""
    from sklearn.datasets import load_sample_images

    rng, made, labels = np.random.default_rng(_SEED), [], []
    for label, photograph in enumerate(load_sample_images().images):
        for _ in range(_TILES):
            side = rng.integers(100, min(photograph.shape[:2]))
            y, x = (rng.integers(0, length - side + 1) for length in photograph.shape[:2])
            made.append(decode(tf.io.encode_png(photograph[y : y + side, x : x + side]), size).numpy())
            labels.append(label)
    images, truth = np.stack(made), np.array(labels, np.int64)
    tested = np.arange(len(images)) % 5 == 0
    return Images(["china", "flower"], images[~tested], truth[~tested], images[tested], truth[tested])


def fitted(settings: ModelSettings, images: Images) -> Classifier:
    """Build the classifier and fit its head on pooled features: a random head's answers would be close ties."""
    network = build_classifier(settings, len(images.classes), _SEED)
    pooled = keras.Model(network.backbone.input, pool(network.backbone.output))
    features = pooled.predict(images.train.astype(np.float32), batch_size=_BATCH, verbose=0)
    network.head.compile("adam", "sparse_categorical_crossentropy")
    network.head.fit(features, images.train_labels, epochs=_EPOCHS, batch_size=_BATCH, verbose=0)
    return network


def probabilities(network: Classifier, pixels: np.ndarray) -> np.ndarray:
    """Return the Keras model's answers float32 `[N, C]` to images uint8 `[N, S, S, 3]`."""
    return np.asarray(network.model.predict(pixels.astype(np.float32), batch_size=_BATCH, verbose=0))


def ours(network: Classifier, images: Images, folder: Path) -> dict[str, bytes]:
    """Return files by variant as EdgeExporter makes them, from the signature `edge`, the only one that it reads.

    Args:
        network: The classifier.
        images: Images for calibration; their classes are written into each file.
        folder: Folder for the SavedModel; it is created.
    """
    export_edge(network.model, str(folder))
    about = Description("image_classifier", EdgeSettings().description)
    converted = convert(str(folder), VARIANTS, images.calibration())
    return {variant: add_metadata(content, images.classes, about) for variant, content in converted.items()}


def plain(settings: ModelSettings, network: Classifier, images: Images, folder: Path) -> dict[str, bytes]:
    """Return files by variant made from `keras.applications` with the same weights and the same head.

    Args:
        settings: Backbone, width, image size and weights file.
        network: Our classifier with these settings.
        images: Images for calibration.
        folder: Folder for the SavedModel; it is created.

    Raises:
        ValueError: The network differs from ours.
    """
    way, shape = PLAIN[settings.backbone], (settings.image_size, settings.image_size, 3)
    build = getattr(keras.applications, way.builder)
    base = build(include_top=False, alpha=settings.alpha, input_shape=shape, weights=settings.weights)
    model = keras.Model(base.input, network.head(keras.layers.GlobalAveragePooling2D()(base.output)))
    some = images.test[:_BATCH]
    found = model.predict(way.normalise(some.astype(np.float32)), verbose=0)
    if not np.allclose(found, probabilities(network, some), atol=1e-4):
        raise ValueError(f"{way.builder} with these weights gives other answers than our network")
    model.export(str(folder), verbose=False)
    return {variant: _converted(str(folder), variant, way, images) for variant in VARIANTS}


def _converted(saved_model: str, variant: str, way: Plain, images: Images) -> bytes:
    def representative() -> Iterator[list[np.ndarray]]:
        for image in images.calibration():
            yield [way.normalise(image[np.newaxis].astype(np.float32))]

    converter = Converter.from_saved_model(saved_model)
    if variant != "float32":
        converter.optimizations = [Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant == "int8":
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.float32
    return bytes(converter.convert())
