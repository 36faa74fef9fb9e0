"""From a network in float32 to one that answers alike when the converter makes `int8` of it.

The converter's own recipe takes the range of each tensor from images, and rounds. That costs more than it must:

- Rounded kernels shift the mean of what they give, and 50 layers add up. So each layer's bias is corrected by the shift
  that is seen where all before it is quantized and corrected already (Nagel et al., "Data-Free Quantization Through
  Weight Equalization and Bias Correction", 2019: empirical bias correction).
- One scale for all channels of a tensor leaves little for the quiet ones: `modules.conversion.equalization`.

The ranges are written into the graph as fake quantization, which the converter takes as they are: so nothing is
calibrated a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from edgetune.modules.conversion.equalization import Equalised, Range, equalise
from edgetune.modules.litert.graph import DENSE, DEPTHWISE, WEIGHTED, Network, Operation, activate, linear

_BATCH = 8
_STEPS = 255
_KERNEL_STEPS = 127
# Of LiteRT's operations these give back the scale that they are given.
_SAME_SCALE = ("PAD", "RESHAPE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "RELU", "RELU6")
# And these have a fixed one: 1/256, from 0.
_FIXED = {"LOGISTIC": (0.0, 255 / 256), "SOFTMAX": (0.0, 255 / 256)}
# For the largest tensor of all images that biases are corrected on, in bytes; about ten of that size are in use.
_ROOM = 256 << 20
# Corrections are rounded to this part of the output's step, or the last bit of a sum would show in the file.
_PART = 1 / 64
# The converter leaves out a dense layer's bias of all zeros, and puts a float32 tensor into its place.
_NO_BIAS = 1e-12

Bounds = Mapping[int, tuple[float, float]]
"""Lowest and highest value of each tensor that has a scale of its own."""


@dataclass(frozen=True)
class Quantized:
    """A network, and what the converter has to know to make `int8` of it."""

    network: Network
    bounds: Bounds

    def run(self, images: tf.Tensor) -> tf.Tensor:
        """Probabilities of images float32 `[N, S, S, 3]` in 0..255, with fake quantization in the graph.

        Kernels are left as they are: the converter quantizes constants by itself, by channel where that is possible.
        """

        def mark(operation: Operation | None, number: int, value: tf.Tensor) -> tf.Tensor:
            # The last one, the softmax, has a fixed scale, and the converter puts the dequantization behind it.
            marked = number in self.bounds and (operation is None or operation.kind not in _FIXED)
            return fake_quantized(value, self.bounds[number]) if marked else value

        return self.network.run(images, mark)


def quantize(network: Network, images: np.ndarray) -> Quantized:
    """Makes a network ready for 8 bits.

    Args:
        network: In float32; it is not changed.
        images: uint8 `[N, S, S, 3]`, RGB: what calibrates.
    """
    equalised = equalise(network, channel_ranges(network, images))
    bounds = bounds_of(equalised, channel_ranges(equalised.network, images))
    return Quantized(correct_biases(equalised.network, bounds, _sample(equalised.network, images)), bounds)


def channel_ranges(network: Network, images: np.ndarray) -> dict[int, Range]:
    """The lowest and the highest value of each channel of each tensor, over all images."""
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


def bounds_of(equalised: Equalised, ranges: Mapping[int, Range]) -> Bounds:
    """The range of each tensor that has a scale of its own, with 0 inside; the image's is 0..255.

    Args:
        equalised: The network.
        ranges: Of its tensors, on typical images.
    """
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
    """The network with biases that keep each layer's mean, by channel, where it is without quantization.

    Both ways through the network are gone side by side, a layer at a time for all images.

    Args:
        network: It is not changed.
        bounds: Of its tensors.
        images: uint8 `[N, S, S, 3]`; all of them at once are in memory.
    """
    constants = dict(network.constants)
    exact: dict[int, tf.Tensor] = {network.image: tf.constant(images, tf.float32)}
    rounded = {network.image: fake_quantized(exact[network.image], bounds[network.image])}
    last = {number: operation for operation in network.operations for number in operation.inputs}
    for operation in network.operations:
        inputs = operation.inputs
        wanted = linear(operation, [exact[n] if n in exact else constants[n] for n in inputs])
        got = linear(operation, [rounded[n] if n in rounded else _rounded(operation, n, constants[n]) for n in inputs])
        if operation.kind in WEIGHTED:
            low, high = bounds[operation.output]
            part = np.float32((high - low) / _STEPS * _PART)
            shift = np.round(tf.reduce_mean(wanted - got, list(range(len(wanted.shape) - 1))).numpy() / part) * part
            corrected = constants[inputs[2]] + shift
            constants[inputs[2]] = corrected if corrected.any() else np.full_like(corrected, _NO_BIAS)
            got += shift
        exact[operation.output], rounded[operation.output] = activate(operation, wanted), activate(operation, got)
        if operation.output in bounds:
            # Of what calibrates, only that is outside which makes no difference behind; but it would in a mean.
            exact[operation.output] = tf.clip_by_value(exact[operation.output], *bounds[operation.output])
            rounded[operation.output] = fake_quantized(rounded[operation.output], bounds[operation.output])
        for number in set(inputs) & set(exact):
            if last[number] is operation:
                del exact[number], rounded[number]
    return replace(network, constants=constants)


def fake_quantized(value: tf.Tensor, bound: tuple[float, float]) -> tf.Tensor:
    """What 8 bits leave of a tensor whose range is `bound`."""
    return tf.quantization.fake_quant_with_min_max_args(value, *bound)


def _rounded(operation: Operation, number: int, value: np.ndarray) -> np.ndarray:
    """What 8 bits leave of a constant, as the converter quantizes it; a bias has 32 bits and stays."""
    if value.dtype != np.float32 or (operation.kind in WEIGHTED and number == operation.inputs[2]):
        return value
    if operation.kind not in WEIGHTED:
        low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
        return np.asarray(fake_quantized(tf.constant(value), (low, high))) if high > low else value
    axes = {DENSE: (0, 1), DEPTHWISE: (0, 1, 2)}.get(operation.kind, (1, 2, 3))  # a dense kernel has one scale
    scale = np.maximum(np.abs(value).max(axis=axes, keepdims=True), 1e-30) / _KERNEL_STEPS
    return (np.round(value / scale) * scale).astype(np.float32)


def _sample(network: Network, images: np.ndarray) -> np.ndarray:
    """As many of the images as there is room for, spread over all."""
    largest = 4 * max(int(np.prod(network.shapes[operation.output])) for operation in network.operations)
    count = min(len(images), max(1, _ROOM // largest))
    return images[np.arange(count) * len(images) // count]
