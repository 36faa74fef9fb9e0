"""The SavedModel on the server and every LiteRT model give the same answer for the same photograph."""

from __future__ import annotations

import io
from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from edgetune.modules.contracts.signatures import IMAGE_BYTES, PROBABILITIES, SERVING
from edgetune.modules.conversion.convert import convert
from edgetune.modules.examples.calibration_images import choose
from edgetune.modules.images.decode import decode
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.modules.models.classifier import build_classifier, pool
from edgetune.modules.serving.export import export_saved_model
from edgetune.modules.settings.run import EdgeSettings, ModelSettings
from tests.helpers.photographs import real_data
from tests.tiny import edge, model, transform

SEED = 1
TRAINED_OF_TEN = 6  # the others are used for measuring: rates of a percent need hundreds of images
VARIANTS = ("float32", "float16", "int8")
# Weights, and the largest drop of accuracy in int8; MobileNetV3 loses more, by hard swish and squeeze-and-excite.
BACKBONES = {
    "mobilenet_v2": ("mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", 0.01),
    "mobilenet_v3_small": ("mobilenet_v3_small_224_1.0_int8deq_no_top.h5", 0.02),
}


@dataclass(frozen=True)
class Answers:
    """Answers of the server and of every variant to the same encoded images."""

    truth: np.ndarray
    server: np.ndarray
    variants: dict[str, np.ndarray]

    def accuracy(self, of: np.ndarray) -> float:
        return float((of.argmax(axis=1) == self.truth).mean())

    def agreement(self, variant: str) -> float:
        return float((self.variants[variant].argmax(axis=1) == self.server.argmax(axis=1)).mean())


def answers(saved_model: str, contents: dict[str, bytes], encoded: list[bytes], truth, image_size: int) -> Answers:
    signature = tf.saved_model.load(saved_model).signatures[SERVING]
    batches = [encoded[start : start + 32] for start in range(0, len(encoded), 32)]
    server = [signature(**{IMAGE_BYTES: tf.constant(batch)})[PROBABILITIES].numpy() for batch in batches]
    pixels = np.stack([decode(one, image_size).numpy() for one in encoded])
    variants = {name: EdgeRunner(content, 32).probabilities(pixels) for name, content in contents.items()}
    return Answers(np.asarray(truth), np.concatenate(server), variants)


def photographs() -> list[tuple[bytes, str]]:
    """Make JPEGs of many sizes with their classes: colours under noise and a gradient."""
    made = []
    for seed, size in enumerate([(40, 30), (31, 77), (200, 150), (32, 32), (64, 48), (123, 321)]):
        for label in model.LABELS:
            noise = Image.fromarray(model.image(label, seed, 64)).resize(size, Image.Resampling.BICUBIC)
            buffer = io.BytesIO()
            noise.save(buffer, "JPEG", quality=85)
            made.append((buffer.getvalue(), label))
    return made


@pytest.fixture(scope="module", params=["colours", pytest.param("mobilenet", marks=pytest.mark.large)])
def generated(request, tmp_path_factory) -> Answers:
    """Return answers of a network that classifies correctly, and of a real backbone that does not."""
    size = transform.SIZE
    network = model.colour_net(size=size) if request.param == "colours" else model.mobilenet(size=size)
    path = str(tmp_path_factory.mktemp("generated") / "model")
    export_saved_model(network, transform.transformed()[0], size, path)
    encoded, labels = zip(*photographs(), strict=True)
    contents = convert(path, VARIANTS, edge.representative())
    return answers(path, contents, list(encoded), [model.LABELS.index(label) for label in labels], size)


def test_generated_images_get_the_same_probabilities_from_float32(generated):
    assert np.abs(generated.variants["float32"] - generated.server).max() < 1e-4
    assert generated.agreement("float32") == 1.0


def test_generated_images_get_nearly_the_same_probabilities_from_the_small_variants(generated):
    assert np.abs(generated.variants["float16"] - generated.server).max() < 0.01
    assert np.abs(generated.variants["int8"] - generated.server).max() < 0.03


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.large) for name in BACKBONES])
def flowers(request, tmp_path_factory) -> tuple[Answers, float]:
    """Return answers to photographs that the head was not trained on, and the accuracy drop allowed for int8."""
    weights, allowed = BACKBONES[request.param]
    photos = real_data("flowers")
    settings = ModelSettings(backbone=request.param, weights=str(real_data("weights", weights)))
    size, classes = settings.image_size, sorted(path.name for path in photos.iterdir() if path.is_dir())
    paths = [path for name in classes for path in sorted((photos / name).glob("*.jpg"))]
    encoded = [path.read_bytes() for path in paths]
    labels = np.array([classes.index(path.parent.name) for path in paths])
    pixels = np.stack([decode(one, size).numpy() for one in encoded])
    trained = np.arange(len(paths)) % 10 < TRAINED_OF_TEN

    network = build_classifier(settings, len(classes), SEED)
    features = keras.Model(network.backbone.input, pool(network.backbone.output))
    pooled = features.predict(pixels[trained].astype(np.float32), batch_size=32, verbose=0)
    network.head.compile("adam", "sparse_categorical_crossentropy")
    network.head.fit(pooled, labels[trained], epochs=30, batch_size=32, verbose=0)

    path = str(tmp_path_factory.mktemp("flowers") / "model")
    export_saved_model(network.model, transform.graph(tuple(classes), size), size, path)
    chosen = choose(labels[trained], EdgeSettings().representative_images)
    contents = convert(path, VARIANTS, pixels[trained][chosen])
    measured = [one for one, used in zip(encoded, trained, strict=True) if not used]
    return answers(path, contents, measured, labels[~trained], size), allowed


def test_photographs_get_the_same_probabilities_from_float32(flowers):
    found, _ = flowers
    assert len(found.truth) > 250
    assert np.abs(found.variants["float32"] - found.server).max() < 1e-4
    assert found.agreement("float32") == 1.0


def test_photographs_get_the_same_class_from_float16(flowers):
    found, _ = flowers
    assert found.agreement("float16") >= 0.99


def test_photographs_lose_little_accuracy_in_int8(flowers):
    found, allowed = flowers
    accuracy = found.accuracy(found.server)
    assert accuracy > 0.75
    assert accuracy - found.accuracy(found.variants["int8"]) <= allowed


def test_photographs_get_the_same_class_from_int8(flowers):
    found, _ = flowers
    assert found.agreement("int8") >= 0.97
