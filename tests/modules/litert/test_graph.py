"""A LiteRT file read as operations computes what the interpreter computes, or is rejected."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.contracts.signatures import EDGE
from edgetune.modules.conversion.converter import Converter, Optimize
from edgetune.modules.core.errors import ExportError
from edgetune.modules.litert.graph import CONV, DENSE, DEPTHWISE, WEIGHTED, UnsupportedOperation, read_network
from edgetune.modules.litert.interpreter import EdgeRunner
from tests.tiny import edge, hard_swish
from tests.tiny import model as tiny_model


def unchanged(operation, number, value):
    return value


def converted(folder: Path, *layers: keras.layers.Layer) -> bytes:
    """Return a float32 model of these layers followed by a head."""
    image = keras.Input((8, 8, 3), name="image")
    x = image
    for layer in layers:
        x = layer(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    converter = Converter.from_saved_model(tiny_model.save_edge(model, folder / "m"), signature_keys=[EDGE])
    return bytes(converter.convert())


def dynamic(folder: Path) -> bytes:
    """Return the model that `converted` left in `folder`, with weights of 8 bits."""
    converter = Converter.from_saved_model(str(folder / "m"), signature_keys=[EDGE])
    converter.optimizations = [Optimize.DEFAULT]
    return bytes(converter.convert())


def test_the_network_computes_what_the_interpreter_computes():
    images = hard_swish.images()
    network = hard_swish.network()
    kinds = {operation.kind for operation in network.operations}
    assert {CONV, DEPTHWISE, DENSE, "HARD_SWISH", "MEAN", "MUL", "ADD", "SOFTMAX"} <= kinds
    found = network.run(tf.constant(images, tf.float32), unchanged).numpy()
    assert found.shape == (len(images), 3)
    np.testing.assert_allclose(found, EdgeRunner(hard_swish.content()).probabilities(images), atol=1e-5)
    assert np.ptp(found, axis=0).max() > 0.1  # the network distinguishes the images


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Conv2D(4, 3, strides=2, dilation_rate=1, padding="valid"), keras.layers.Flatten()],
        [keras.layers.Conv2D(4, 3, dilation_rate=2, padding="valid", activation="relu"), keras.layers.Flatten()],
        [keras.layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), keras.layers.GlobalAveragePooling2D()],
        [keras.layers.ZeroPadding2D(1), keras.layers.MaxPooling2D(2), keras.layers.Flatten()],
        [keras.layers.AveragePooling2D(2, padding="same"), keras.layers.Activation("sigmoid"), keras.layers.Flatten()],
        [keras.layers.ReLU(6.0), keras.layers.GlobalAveragePooling2D()],
    ],
)
def test_each_operation_computes_what_the_interpreter_computes(tmp_path, layers):
    content = converted(tmp_path, *layers)
    images = np.random.default_rng(1).integers(0, 8, (3, 8, 8, 3), dtype=np.uint8)
    found = read_network(content).run(tf.constant(images, tf.float32), unchanged).numpy()
    np.testing.assert_allclose(found, EdgeRunner(content).probabilities(images), atol=1e-5)


def test_the_hook_sees_and_replaces_every_tensor():
    network, seen = hard_swish.network(), []

    def black(operation, number, value):
        seen.append(number)
        return tf.zeros_like(value) if operation is None else value

    some, none = hard_swish.images(2), np.zeros((2, 32, 32, 3), np.uint8)
    found = network.run(tf.constant(some, tf.float32), black).numpy()
    assert seen == [network.image, *(operation.output for operation in network.operations)]
    np.testing.assert_allclose(found, network.run(tf.constant(none, tf.float32), unchanged).numpy(), atol=1e-6)


def test_every_weighted_operation_has_its_own_kernel_and_bias():
    # A file stores zeros of the same length once, here for several layers.
    network = hard_swish.network()
    weighted = [operation for operation in network.operations if operation.kind in WEIGHTED]
    constants = [number for operation in weighted for number in operation.inputs[1:]]
    assert len(set(constants)) == 2 * len(weighted) > 10
    assert all(network.constants[number].dtype == np.float32 for number in constants)


@pytest.mark.parametrize(
    ("layer", "named"),
    [(keras.layers.LeakyReLU(), "operation LEAKY_RELU"), (keras.layers.Lambda(tf.sin), "operation SIN")],
)
def test_an_unsupported_operation_is_named(tmp_path, layer, named):
    with pytest.raises(UnsupportedOperation, match=named):
        read_network(converted(tmp_path, layer, keras.layers.GlobalAveragePooling2D()))


def test_a_quantized_file_is_not_supported():
    with pytest.raises(UnsupportedOperation):
        read_network(edge.converted()["int8"])


def test_weights_of_16_bits_are_read_as_the_interpreter_reads_them():
    content, images = edge.converted()["float16"], edge.representative()
    found = read_network(content).run(tf.constant(images, tf.float32), unchanged).numpy()
    np.testing.assert_allclose(found, EdgeRunner(content).probabilities(images), atol=1e-5)
    assert np.ptp(found, axis=0).min() > 0.1


def test_weights_of_8_bits_are_read_with_the_scale_of_their_channel(tmp_path):
    # The converter leaves kernels of fewer than 1,024 values in float32.
    layers = keras.layers.Conv2D(64, 3), keras.layers.GlobalAveragePooling2D()
    exact, rounded = (read_network(content) for content in (converted(tmp_path, *layers), dynamic(tmp_path)))
    [kernel] = (value for value in exact.constants.values() if value.shape == (64, 3, 3, 3))
    [found] = (value for value in rounded.constants.values() if value.shape == (64, 3, 3, 3))
    step = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / 127
    assert found.dtype == np.float32 and (np.abs(found - kernel) <= 0.501 * step).all()
    assert (found != kernel).any()


def test_a_file_that_is_not_a_model_is_an_error():
    with pytest.raises(ExportError, match="this is not a LiteRT model"):
        read_network(b"no model")


def test_a_tensor_and_a_constant_can_be_added():
    network = hard_swish.network()
    last = max(network.shapes)
    computed, constant = network.add_tensor("a", (1, 2)), network.add_tensor("b", (2,), np.zeros(2))
    assert (computed, constant) == (last + 1, last + 2)
    assert network.names[constant] == "b" and network.shapes[computed] == (1, 2)
    assert computed not in network.constants and network.constants[constant].dtype == np.float32
