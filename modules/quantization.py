"""From a network in float32 to one that the converter makes `int8` of, and answers alike.

The converter's own recipe takes the range of each tensor from images, and rounds. That costs more than it must:

- Rounded kernels shift the mean of what they give, and 50 layers add up to a tenth of the answer. So each layer's bias
  is corrected by the shift that is seen in a layer that runs on quantized inputs, from the image on: what one layer
  could not mend, the next one sees (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
  Correction", 2019, empirical bias correction).
- One scale for all channels leaves little for quiet ones: `modules.equalisation`.

The ranges are written into the graph as fake quantization, which the converter takes as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import tensorflow as tf

from modules.equalisation import Equalised, Range, equalise
from modules.tflite_network import DENSE, DEPTHWISE, WEIGHTED, Network, Operation, activate, linear, read_network

_BATCH = 8
_STEPS = 255
_KERNEL_STEPS = 127
# Of LiteRT's operations these give back the scale that they are given.
_SAME_SCALE = ("PAD", "RESHAPE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "RELU", "RELU6")
# And these have a fixed one: 1/256, from 0.
_FIXED = {"LOGISTIC": (0.0, 255 / 256), "SOFTMAX": (0.0, 255 / 256)}
# One float32 tensor of all images that the biases are corrected on, in bytes; a dozen of that size are in use.
_ROOM = 256 << 20
# Corrections are rounded to this part of the output's step: what the last bit of a sum is must not show in the file.
_PART = 1 / 64

Bounds = Mapping[int, tuple[float, float]]
"""Lowest and highest value of each tensor that has a scale of its own."""


def quantized(content: bytes, images: np.ndarray) -> tuple[Network, Bounds]:
    """A network that loses little in 8 bits, and the range that each of its tensors needs.

    Args:
        content: A LiteRT model in float32.
        images: uint8 `[N, S, S, 3]`, RGB: what calibrates.

    Raises:
        NotKnown: The network holds something that `modules.tflite_network` does not know.
        ExportError: This is no LiteRT model.
    """
    network = read_network(content)
    equalised = equalise(network, channel_ranges(network, images))
    found = bounds(equalised, channel_ranges(equalised.network, images))
    return correct_biases(equalised.network, found, _sample(equalised.network, images)), found


def channel_ranges(network: Network, images: np.ndarray) -> dict[int, Range]:
    """What is the lowest and the highest value of each channel of each tensor, over all images."""
    found: dict[int, Range] = {}

    def look(_: Operation | None, number: int, value: tf.Tensor) -> tf.Tensor:
        axes = list(range(len(value.shape) - 1))
        lowest, highest = tf.reduce_min(value, axes).numpy(), tf.reduce_max(value, axes).numpy()
        before = found.get(number, (lowest, highest))
        found[number] = np.minimum(lowest, before[0]), np.maximum(highest, before[1])
        return value

    for start in range(0, len(images), _BATCH):
        network.run(tf.constant(images[start : start + _BATCH], tf.float32), look)
    return found


def bounds(equalised: Equalised, ranges: Mapping[int, Range]) -> Bounds:
    """The range of each tensor that has a scale of its own, 0 included; the image's is 0..255."""
    found = {equalised.network.image: (0.0, float(_STEPS))}
    for operation in equalised.network.operations:
        if operation.kind in _SAME_SCALE:
            continue
        lowest, highest = ranges[operation.output]
        if operation.output in equalised.lowest:
            lowest = np.maximum(lowest, equalised.lowest[operation.output])
        low, high = min(float(lowest.min()), 0.0), max(float(highest.max()), 0.0)
        found[operation.output] = _FIXED.get(operation.kind, (low, high if high > low else low + 1.0))
    return found


def correct_biases(network: Network, bounds: Bounds, images: np.ndarray) -> Network:
    """The network with biases that make each layer's mean what it is without quantization.

    Both ways through the network are taken at once, a layer at a time for all images.
    """
    constants = dict(network.constants)
    exact: dict[int, tf.Tensor] = {network.image: tf.constant(images, tf.float32)}
    rounded = {network.image: fake_quantized(exact[network.image], bounds[network.image])}
    last = {number: operation for operation in network.operations for number in operation.inputs}
    for operation in network.operations:
        inputs = operation.inputs
        wanted = linear(operation, [exact[n] if n in exact else constants[n] for n in inputs])
        operands = [rounded[n] if n in rounded else _constant(operation, n, constants[n]) for n in inputs]
        got = linear(operation, operands)
        if operation.kind in WEIGHTED:
            axes = list(range(len(wanted.shape) - 1))
            low, high = bounds[operation.output]
            part = (high - low) / _STEPS * _PART
            shift = np.round(tf.reduce_mean(wanted - got, axes).numpy() / part) * np.float32(part)
            constants[inputs[2]] = constants[inputs[2]] + shift.astype(np.float32)
            got += shift
        exact[operation.output] = activate(operation, wanted)
        rounded[operation.output] = activate(operation, got)
        if operation.output in bounds:
            rounded[operation.output] = fake_quantized(rounded[operation.output], bounds[operation.output])
        for number in set(inputs) & set(exact):
            if last[number] is operation:
                del exact[number], rounded[number]
    return replace(network, constants=constants)


def fake_quantized(value: tf.Tensor, bound: tuple[float, float]) -> tf.Tensor:
    """What 8 bits leave of a tensor whose range is `bound`."""
    return tf.quantization.fake_quant_with_min_max_args(value, *bound)


def _constant(operation: Operation, number: int, value: np.ndarray) -> np.ndarray:
    """What 8 bits leave of a constant: of a kernel by channel of its output, of a dense layer's as a whole."""
    if value.dtype != np.float32 or (operation.kind in WEIGHTED and number == operation.inputs[2]):
        return value
    axes: tuple[int, ...] | None = None
    if operation.kind in WEIGHTED and operation.kind != DENSE:
        axes = (0, 1, 2) if operation.kind == DEPTHWISE else (1, 2, 3)
    scale = np.maximum(np.abs(value).max(axis=axes, keepdims=True), 1e-30) / _KERNEL_STEPS
    return (np.round(value / scale) * scale).astype(np.float32)


def _sample(network: Network, images: np.ndarray) -> np.ndarray:
    """As many of the images as there is room for, spread over all."""
    largest = 4 * max(int(np.prod(network.shapes[operation.output])) for operation in network.operations)
    count = min(len(images), max(1, _ROOM // largest))
    return images[np.arange(count) * len(images) // count]
