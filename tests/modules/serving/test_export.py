"""The SavedModel with Transform's graph inside: its signatures agree, and it is self-contained."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.contracts import example_features, signatures
from edgetune.modules.core.errors import ExportError
from edgetune.modules.images.decode import decode_to_raw, from_raw
from edgetune.modules.serving import saved_model as saved_model_reader
from edgetune.modules.serving.export import export_saved_model
from tests.tiny import model as tiny_model
from tests.tiny import transform

TOLERANCE = 1e-5

# Loads a SavedModel and classifies images, with nothing but TensorFlow.
SERVE_ALONE = """
import json, sys
import tensorflow as tf
[path, *images] = sys.argv[1:]
signature = tf.saved_model.load(path).signatures["serving_default"]
found = signature(image_bytes=tf.constant([tf.io.read_file(image).numpy() for image in images]))
assert not {"edgetune", "keras", "tensorflow_transform"} & set(sys.modules), "edgetune or a library beside TensorFlow"
print(json.dumps({
    "probabilities": found["probabilities"].numpy().tolist(),
    "label": [label.decode() for label in found["label"].numpy()],
}))
"""


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Return a model whose probabilities differ between images, and which names every class."""
    return tiny_model.colour_net(size=transform.SIZE)


@pytest.fixture(scope="module")
def encoded() -> list[bytes]:
    sizes = (transform.SIZE, 20, 50)
    return [
        tiny_model.png(tiny_model.image(label, seed, size))
        for seed, (label, size) in enumerate(zip(("red", "blue", "green"), sizes, strict=True))
    ]


@pytest.fixture(scope="module")
def path(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("served") / "model")
    export_saved_model(model, transform.transformed()[0], transform.SIZE, path)
    return path


@pytest.fixture(scope="module")
def served(path: str):
    return tf.saved_model.load(path)


def decoded(images: list[bytes]) -> tf.Tensor:
    return from_raw(decode_to_raw(tf.constant(images), transform.SIZE), transform.SIZE)


@pytest.fixture(scope="module")
def expected(model: keras.Model, encoded: list[bytes]) -> np.ndarray:
    """Return the Keras model's answers to the same images."""
    pixels = decoded(encoded)
    return model(tf.cast(pixels, tf.float32), training=False).numpy()


def example(content: bytes, label: str | None = None) -> bytes:
    made = tf.train.Example()
    made.features.feature[example_features.IMAGE].bytes_list.value.append(content)
    if label is not None:
        made.features.feature[example_features.LABEL].bytes_list.value.append(label.encode())
    return made.SerializeToString()


def test_the_four_signatures_have_the_names_of_the_contract(served):
    found = {
        name: (set(signature.structured_input_signature[1]), set(signature.structured_outputs))
        for name, signature in served.signatures.items()
    }
    assert found == {
        signatures.SERVING: ({"image_bytes"}, {"probabilities", "label", "score"}),
        signatures.EXAMPLES: ({"examples"}, {"probabilities"}),
        signatures.TRANSFORM: ({"examples"}, {"image", "label_index"}),
        signatures.EDGE: ({"image"}, {"probabilities"}),
    }


def test_one_other_weight_or_class_name_is_another_digest_of_the_weights(model, path, tmp_path):
    found = saved_model_reader.weights_sha256(path)
    kept = model.get_weights()
    changed = [values.copy() for values in kept]
    changed[-1][0] = np.nextafter(changed[-1][0], np.float32(1))
    try:
        model.set_weights(changed)
        export_saved_model(model, transform.transformed()[0], transform.SIZE, str(tmp_path / "changed"))
    finally:
        model.set_weights(kept)
    assert saved_model_reader.weights_sha256(str(tmp_path / "changed")) != found
    copy = shutil.copytree(path, tmp_path / "copy")
    assert saved_model_reader.weights_sha256(str(copy)) == found
    labels = copy / "assets" / signatures.LABELS_FILE
    labels.write_text(labels.read_text().upper())
    assert saved_model_reader.weights_sha256(str(copy)) != found


def test_encoded_images_get_the_keras_models_answer(served, encoded, expected):
    assert len(set(expected.argmax(axis=-1))) == 3 and np.ptp(expected) > 0.5  # otherwise agreement means little
    found = served.signatures[signatures.SERVING](image_bytes=tf.constant(encoded))
    np.testing.assert_allclose(found[signatures.PROBABILITIES], expected, atol=TOLERANCE)
    assert found[signatures.PROBABILITIES].dtype == tf.float32


def test_label_and_score_are_those_of_the_most_probable_class(served, encoded):
    found = served.signatures[signatures.SERVING](image_bytes=tf.constant(encoded))
    probabilities = found[signatures.PROBABILITIES].numpy()
    labels = [transform.LABELS[index] for index in probabilities.argmax(axis=-1)]
    assert [label.decode() for label in found[signatures.LABEL].numpy()] == labels
    np.testing.assert_array_equal(found[signatures.SCORE], probabilities.max(axis=-1))


def test_examples_get_the_same_answer_with_or_without_a_label(served, encoded, expected):
    signature = served.signatures[signatures.EXAMPLES]
    for label in (None, transform.LABELS[0]):
        found = signature(examples=tf.constant([example(content, label) for content in encoded]))
        np.testing.assert_allclose(found[signatures.PROBABILITIES], expected, atol=TOLERANCE)


def test_one_image_of_the_models_size_gets_the_same_answer(served, encoded, expected):
    for pixels, row in zip(decoded(encoded), expected, strict=True):
        found = served.signatures[signatures.EDGE](image=tf.cast(pixels, tf.float32)[None])
        np.testing.assert_allclose(found[signatures.PROBABILITIES], row[None], atol=TOLERANCE)


@pytest.mark.parametrize("name", [signatures.SERVING, signatures.EXAMPLES, signatures.TRANSFORM])
def test_a_request_of_too_many_images_is_refused_before_any_of_them_is_read(served, encoded, name):
    key = signatures.IMAGE_BYTES if name == signatures.SERVING else signatures.SERIALIZED
    content = encoded[0] if name == signatures.SERVING else example(encoded[0], transform.LABELS[0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="the request has more than 256 images: send fewer"):
        for value in served.signatures[name](**{key: tf.constant([content] + [b"not an image"] * 256)}).values():
            value.numpy()
    for value in served.signatures[name](**{key: tf.constant([content] * 256)}).values():
        assert len(value) == 256


def test_the_edge_signature_has_fixed_dimensions(served):
    spec = served.signatures[signatures.EDGE].structured_input_signature[1]["image"]
    assert spec.shape == (1, transform.SIZE, transform.SIZE, 3) and spec.dtype == tf.float32


def test_transform_features_returns_what_transform_wrote(served):
    pairs = transform.unseen()
    found = served.signatures[signatures.TRANSFORM](examples=tf.constant([example(*pair) for pair in pairs]))
    rows = transform.transformed()[1]["unseen"]
    assert list(found[example_features.IMAGE].numpy()) == [row[example_features.IMAGE] for row in rows]
    np.testing.assert_array_equal(
        found[example_features.LABEL_INDEX], [row[example_features.LABEL_INDEX] for row in rows]
    )


def test_the_vocabulary_is_an_asset(path):
    assert saved_model_reader.read_labels(path) == list(transform.LABELS)


def test_it_serves_in_a_process_that_has_only_tensorflow(path, encoded, expected, tmp_path):
    moved = tmp_path / "moved"
    Path(path).rename(moved)  # it must not refer to anything outside of itself
    try:
        files = []
        for number, content in enumerate(encoded):
            files.append(str(tmp_path / f"{number}.png"))
            Path(files[-1]).write_bytes(content)
        environment = {**os.environ, "PYTHONPATH": ""}
        command = [sys.executable, "-c", SERVE_ALONE, str(moved), *files]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
    finally:
        moved.rename(path)
    np.testing.assert_allclose(found["probabilities"], expected, atol=TOLERANCE)
    assert found["label"] == [transform.LABELS[index] for index in expected.argmax(axis=-1)]


def test_a_model_with_another_number_of_classes_is_rejected(tmp_path):
    two = tiny_model.colour_net(labels=("blue", "red"), size=transform.SIZE)
    with pytest.raises(ExportError, match="the model has 2 outputs, but Transform's labels.txt has 3 classes"):
        export_saved_model(two, transform.transformed()[0], transform.SIZE, str(tmp_path / "model"))
    assert list(tmp_path.iterdir()) == []
