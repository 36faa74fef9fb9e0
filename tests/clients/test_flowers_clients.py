"""Photographs of flowers, with ImageNet's weights, in MediaPipe Tasks and an old tflite-runtime.

Both are read from the folder that EDGETUNE_TEST_DATA names: tests/helpers/photographs.py says what is in it.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.contracts.signatures import EDGE, IMAGE, PROBABILITIES
from edgetune.modules.images.decode import decode
from edgetune.modules.settings.run import ModelSettings
from tests.clients.agreement import assert_same, assert_same_variant, ours
from tests.clients.client_process import ask, rows
from tests.clients.environments import MEDIAPIPE, TFLITE_RUNTIME, Unavailable
from tests.clients.photo_bundle import VARIANTS, Made, fitted, for_training, write_edge_model
from tests.helpers.photographs import real_data

WEIGHTS = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_128_no_top.h5"
SIZE, EACH = 128, 60

pytestmark = pytest.mark.large


@pytest.fixture(scope="module")
def flowers(tmp_path_factory) -> Made:
    """Return a folder with the variants, and photographs that the model was not fitted on."""
    photos, weights = real_data("flowers"), real_data("weights", WEIGHTS)
    folder = tmp_path_factory.mktemp("flowers")
    labels = sorted(path.name for path in photos.iterdir())
    files = [(file, n) for n, label in enumerate(labels) for file in sorted((photos / label).iterdir())[:EACH]]
    images = np.stack([decode(file.read_bytes(), SIZE).numpy() for file, _ in files])
    train = for_training(truth := np.array([label for _, label in files]))
    model = fitted(ModelSettings(alpha=0.35, image_size=SIZE, weights=str(weights)), images[train], truth[train])
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec([1, SIZE, SIZE, 3], tf.float32, IMAGE)]
    archive.add_endpoint(EDGE, lambda image: {PROBABILITIES: model(image, training=False)}, signature)
    archive.write_out(str(folder / "saved_model"), verbose=False)
    np.save(folder / "images.npy", images[~train])
    write_edge_model(folder / "edge_model", str(folder / "saved_model"), images[train][::8], labels)
    made = Made(folder / "edge_model", folder / "images.npy")
    assert np.mean(ours(made, "float32").argmax(axis=1) == truth[~train]) > 0.7
    return made


def answers_of(client, made: Made):
    try:
        return ask(client, {v: {"model": made.model(v), "images": made.images} for v in VARIANTS})["answers"]
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_mediapipe_classifies_photographs_as_we_do(flowers):
    for variant, answer in answers_of(MEDIAPIPE, flowers).items():
        assert "error" not in answer, answer
        assert_same_variant(rows(answer["categories"]), ours(flowers, variant), variant)
        assert {name for image in answer["categories"] for _, name, _ in image} == set(flowers.labels())


def test_an_old_app_classifies_photographs_as_we_do(flowers):
    for variant, answer in answers_of(TFLITE_RUNTIME, flowers).items():
        assert "error" not in answer, answer
        within = 0.25 if variant == "int8" else 1e-4
        assert_same(np.array(answer["probabilities"]), ours(flowers, variant), variant, within)
