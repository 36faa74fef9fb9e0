"""Prepare a float32 network so that the converter's `int8` version loses little accuracy.

The converter's own calibration takes the range of each tensor from images, and rounds. That loses more accuracy than
necessary:

- Rounding kernels shifts the mean of their outputs, which adds up over 50 layers. So each layer's bias is corrected by
  the shift measured with all earlier layers quantized and corrected (Nagel et al., "Data-Free Quantization Through
  Weight Equalization and Bias Correction", 2019: empirical bias correction).
- One scale for all channels of a tensor is too coarse for small channels: see `modules.conversion.equalization`.

The ranges are written into the graph as fake quantization, which the converter uses as they are instead of calibrating.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from edgetune.modules.conversion.equalization import Equalized, Range, equalize
from edgetune.modules.litert.graph import DENSE, DEPTHWISE, WEIGHTED, Network, Operation, activate, linear

_BATCH = 8
_STEPS = 255
_KERNEL_STEPS = 127
# LiteRT operations whose output has the scale of their input.
_SAME_SCALE = ("PAD", "RESHAPE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "RELU", "RELU6")
# LiteRT operations whose output has a fixed scale of 1/256, from 0.
_FIXED = {"LOGISTIC": (0.0, 255 / 256), "SOFTMAX": (0.0, 255 / 256)}
# Size limit, in bytes, of the largest tensor over all images of bias correction; about ten of this size are in memory.
_MAX_TENSOR_BYTES = 256 << 20
# Corrections are rounded to this fraction of the output's step, so that the last bit of a sum does not change the file.
_CORRECTION_STEP = 1 / 64
# A dense layer's bias must not be all zeros: the converter would drop it and insert a float32 tensor instead.
_ZERO_BIAS = 1e-12

Bounds = Mapping[int, tuple[float, float]]
"""Lowest and highest value of each tensor with its own scale."""


@dataclass(frozen=True)
class Quantized:
    """A network and the ranges that the converter needs to make `int8` from it."""

    network: Network
    bounds: Bounds

    def run(self, images: tf.Tensor) -> tf.Tensor:
        """Compute probabilities of images float32 `[N, S, S, 3]` in 0..255, with fake quantization of activations.

        Kernels stay in float32: the converter quantizes constants itself, per channel if possible.
        """

        def mark(operation: Operation | None, number: int, value: tf.Tensor) -> tf.Tensor:
            # The last operation, softmax, has a fixed scale, and the converter adds the dequantization after it.
            marked = number in self.bounds and (operation is None or operation.kind not in _FIXED)
            return fake_quantized(value, self.bounds[number]) if marked else value

        return self.network.run(images, mark)


def quantize(network: Network, images: np.ndarray) -> Quantized:
    """Equalize a network, measure its ranges and correct its biases.

    Args:
        network: The network in float32; it is not changed.
        images: Calibration images, uint8 `[N, S, S, 3]`, RGB.
    """
    equalized = equalize(network, channel_ranges(network, images))
    bounds = bounds_of(equalized, channel_ranges(equalized.network, images))
    return Quantized(correct_biases(equalized.network, bounds, _sample(equalized.network, images)), bounds)


def channel_ranges(network: Network, images: np.ndarray) -> dict[int, Range]:
    """Return the lowest and highest value of each channel of each tensor, over all images."""
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


def bounds_of(equalized: Equalized, ranges: Mapping[int, Range]) -> Bounds:
    """Return the range, extended to contain 0, of each tensor with its own scale; that of the image is 0..255.

    Args:
        equalized: The equalized network.
        ranges: Ranges of its tensors, on typical images.
    """
    found = {equalized.network.image: (0.0, float(_STEPS))}
    for operation in equalized.network.operations:
        if operation.kind in _SAME_SCALE:
            continue
        lowest, highest = ranges[operation.output]
        if operation.output in equalized.lowest:
            lowest = np.maximum(lowest, equalized.lowest[operation.output])
        low, high = min(float(lowest.min()), 0.0), max(float(highest.max()), 0.0)
        found[operation.output] = _FIXED.get(operation.kind, (low, high if high > low else low + 1.0))
    return found


def correct_biases(network: Network, bounds: Bounds, images: np.ndarray) -> Network:
    """Correct the biases so that quantization does not shift the mean of any layer's channels.

    The network is run with and without quantization side by side, one layer at a time for all images.

    Args:
        network: The network; it is not changed.
        bounds: Ranges of its tensors.
        images: uint8 `[N, S, S, 3]`; all of them are in memory at once.
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
            step = np.float32((high - low) / _STEPS * _CORRECTION_STEP)
            shift = np.round(tf.reduce_mean(wanted - got, list(range(len(wanted.shape) - 1))).numpy() / step) * step
            corrected = constants[inputs[2]] + shift
            constants[inputs[2]] = corrected if corrected.any() else np.full_like(corrected, _ZERO_BIAS)
            got += shift
        exact[operation.output], rounded[operation.output] = activate(operation, wanted), activate(operation, got)
        if operation.output in bounds:
            # Values outside the bounds make no difference to later layers, but would change the mean: clip them.
            exact[operation.output] = tf.clip_by_value(exact[operation.output], *bounds[operation.output])
            rounded[operation.output] = fake_quantized(rounded[operation.output], bounds[operation.output])
        for number in set(inputs) & set(exact):
            if last[number] is operation:
                del exact[number], rounded[number]
    return replace(network, constants=constants)


def fake_quantized(value: tf.Tensor, bound: tuple[float, float]) -> tf.Tensor:
    """Round a tensor to 8 bits over the range `bound`."""
    return tf.quantization.fake_quant_with_min_max_args(value, *bound)


def _rounded(operation: Operation, number: int, value: np.ndarray) -> np.ndarray:
    """Round a constant to 8 bits as the converter does; a bias has 32 bits and is returned unchanged."""
    if value.dtype != np.float32 or (operation.kind in WEIGHTED and number == operation.inputs[2]):
        return value
    if operation.kind not in WEIGHTED:
        low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
        return np.asarray(fake_quantized(tf.constant(value), (low, high))) if high > low else value
    axes = {DENSE: (0, 1), DEPTHWISE: (0, 1, 2)}.get(operation.kind, (1, 2, 3))  # a dense kernel has one scale
    scale = np.maximum(np.abs(value).max(axis=axes, keepdims=True), 1e-30) / _KERNEL_STEPS
    return (np.round(value / scale) * scale).astype(np.float32)


def _sample(network: Network, images: np.ndarray) -> np.ndarray:
    """Return as many evenly spaced images as `_MAX_TENSOR_BYTES` allows."""
    largest = 4 * max(int(np.prod(network.shapes[operation.output])) for operation in network.operations)
    count = min(len(images), max(1, _MAX_TENSOR_BYTES // largest))
    return images[np.arange(count) * len(images) // count]
