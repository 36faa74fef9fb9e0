"""The exported signature reads photographs of every kind as ingest and `edgetune predict` do, or says what to send."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

from edgetune.modules.bundle.predict import Classifier
from edgetune.modules.contracts.signatures import EXAMPLES, IMAGE_BYTES, LABEL, PROBABILITIES, SERVING
from edgetune.modules.images.decode import decode_to_raw, from_raw
from edgetune.modules.images.reader import read_image
from tests.fakes.tensorflow_serving import Server
from tests.helpers.camera_files import DAMAGED_PROFILE, REFUSED, SEND, STORED, alpha, encoded, features, turned
from tests.tiny import arrows


@pytest.fixture(scope="module")
def signature():
    loaded = tf.saved_model.load(arrows.saved_model())
    yield loaded.signatures[SERVING]
    del loaded


class Predict(Classifier):
    """What `edgetune predict` reads, answered by the network that the SavedModel has."""

    def __init__(self) -> None:
        self.image_size, self._reading = arrows.SIZE, arrows.READING
        network = arrows.net()
        self._runner = SimpleNamespace(probabilities=lambda images: network(images.astype(np.float32)).numpy())


@pytest.fixture(scope="module")
def classifier() -> Predict:
    return Predict()


def served(signature, content: bytes) -> np.ndarray:
    return signature(**{IMAGE_BYTES: tf.constant([content])})[PROBABILITIES].numpy()[0]


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
def transformed(stored: tf.Tensor) -> tf.Tensor:
    return decode_to_raw(stored, arrows.SIZE, arrows.READING)


def trained(content: bytes) -> np.ndarray:
    """Return the answer to what training saw: ingest's file through Transform's reading."""
    stored = read_image(content, arrows.READING).encoded
    pixels = from_raw(transformed(tf.constant([stored])), arrows.SIZE)
    return arrows.net()(tf.cast(pixels, tf.float32)).numpy()[0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_turned_image_gets_the_answer_of_its_upright_twin(signature, classifier, orientation, kind):
    content = turned(orientation, kind, **({"quality": 98, "subsampling": 0} if kind == "JPEG" else {}))
    found = served(signature, content)
    assert arrows.LABELS[found.argmax()] == "up" and found.max() > 0.6
    upright = served(signature, turned(1, kind, **({"quality": 98, "subsampling": 0} if kind == "JPEG" else {})))
    np.testing.assert_allclose(found, upright, atol=1e-3 if kind == "PNG" else 5e-3)
    np.testing.assert_allclose(found, trained(content), atol=1e-3)
    np.testing.assert_allclose(found, classifier.classify(content), atol=1e-3)


@pytest.mark.parametrize("name", features())
def test_an_image_of_every_kind_gets_the_same_answer_everywhere(signature, classifier, name):
    content = features()[name]
    found = served(signature, content)
    np.testing.assert_allclose(found, trained(content), atol=1e-3)
    np.testing.assert_allclose(found, classifier.classify(content), atol=1e-3)
    if name not in ("RGBA", "LA", "P3 RGBA", "palette with alpha", "a transparent color"):
        assert arrows.LABELS[found.argmax()] == "up"


def test_transparency_shows_the_runs_background(signature):
    shown = Image.new("RGBA", (48, 40), (*arrows.READING.background, 255))
    shown.alpha_composite(alpha("RGBA"))
    found = served(signature, encoded(alpha("RGBA"), "PNG"))
    np.testing.assert_allclose(found, served(signature, encoded(shown.convert("RGB"), "PNG")), atol=2e-3)
    under = served(signature, encoded(alpha("RGBA").convert("RGB"), "PNG"))
    assert np.abs(found - under).max() > 0.1  # it matters


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_graph_cannot_read_is_refused_with_its_place_and_what_to_send(signature, name):
    content, sentence = REFUSED[name]
    batch = [turned(6, "PNG"), turned(3, "JPEG"), content, turned(1, "PNG")]
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"image 3 of 4 {sentence}"):
        signature(**{IMAGE_BYTES: tf.constant(batch)})


def test_a_damaged_image_is_named_by_its_place(signature):
    noise = np.random.default_rng(1).integers(0, 256, (60, 60, 3), np.uint8)
    for kind in ("JPEG", "PNG"):
        cut = encoded(noise, kind)
        with pytest.raises(tf.errors.InvalidArgumentError, match="image 2 of 3 cannot be decoded: its data is damaged"):
            signature(**{IMAGE_BYTES: tf.constant([turned(6, "PNG"), cut[: len(cut) // 2], turned(1, "JPEG")])})


def test_a_png_with_a_damaged_packed_profile_is_named_by_its_place(signature):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image 2 of 2 cannot be decoded: its data is damaged"):
        signature(**{IMAGE_BYTES: tf.constant([turned(6, "PNG"), DAMAGED_PROFILE])})


def test_an_empty_batch_gets_an_empty_answer(signature):
    assert signature(**{IMAGE_BYTES: tf.constant([], tf.string)})[PROBABILITIES].shape == (0, len(arrows.LABELS))


def ask(server: Server, key: str, contents: list[bytes], signature: str) -> dict[str, np.ndarray]:
    """Send the gRPC request of docs/serving.md."""
    request = PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "birds", signature
    request.inputs[key].CopyFrom(tf.make_tensor_proto(contents))
    response = PredictResponse.FromString(server.grpc(request.SerializeToString()))
    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


def test_requests_of_the_documentation_get_the_signatures_answer_in_a_server(signature):
    content = turned(6, "JPEG")
    expected = served(signature, content)
    text = base64.b64encode(content).decode()
    with Server(arrows.saved_model()) as server:
        [row] = server.rest(json.loads(f'{{"instances": [{{"b64": "{text}"}}]}}'))["predictions"]
        assert row[LABEL] == "up"
        np.testing.assert_allclose(row[PROBABILITIES], expected, atol=1e-5)
        columns = server.rest({"signature_name": SERVING, "inputs": {IMAGE_BYTES: [{"b64": text}] * 2}})["outputs"]
        np.testing.assert_allclose(columns[PROBABILITIES], [expected] * 2, atol=1e-5)
        bad = base64.b64encode(REFUSED["WebP"][0]).decode()
        answer = server.rest({"instances": [{"b64": text}, {"b64": bad}]})
        assert f"image 2 of 2 is a WebP image: {SEND}" in answer["error"]

        example = tf.train.Example()
        example.features.feature["image"].bytes_list.value.append(content)
        rows = ask(server, "examples", [example.SerializeToString()], EXAMPLES)
        np.testing.assert_allclose(rows[PROBABILITIES], [expected], atol=1e-5)
        rows = ask(server, IMAGE_BYTES, [content] * 2, SERVING)
        np.testing.assert_allclose(rows[PROBABILITIES], [expected] * 2, atol=1e-5)
        assert rows[LABEL].tolist() == [b"up"] * 2
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"image 2 of 2 is a WebP image: {SEND}"):
            ask(server, IMAGE_BYTES, [content, REFUSED["WebP"][0]], SERVING)
