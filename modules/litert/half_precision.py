"""Measure the sums of a LiteRT network, and emulate it in half precision, in which GPUs and NPUs compute by default.

The interpreter on a CPU computes in float32, also with weights stored in float16. Half precision is IEEE 754 binary16:
11 significant bits, and no value above 65,504. It goes wrong in two ways that a CPU does not show: a sum overflows to
infinity, or it grows so large that what is added is lost in rounding.

- *Sums*: for each operation that adds up products or values, the sum of their magnitudes, which no partial sum exceeds
  in any order. It is computed in float32.
- *Emulation*: weights and the output of every operation are rounded to half. Pools and dense layers are also summed in
  half, one value after the other. Convolutions are summed in float32 and then rounded: most hardware does so, and half
  sums of every convolution would take seconds per image; their sums are bounded by the first measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from edgetune.modules.litert.graph import (
    DENSE,
    DEPTHWISE,
    WEIGHTED,
    Network,
    Operation,
    UnsupportedOperation,
    activate,
    linear,
    read_network,
    result,
)

LARGEST = float(np.finfo(np.float16).max)
"""65,504: the largest finite value of IEEE 754 binary16."""
# Size limit, in bytes, of the largest tensor of a batch; about four of this size are in memory.
_MAX_TENSOR_BYTES = 64 << 20
_POOLS = ("MEAN", "AVERAGE_POOL_2D")
_HEIGHT_AND_WIDTH = [1, 2]
# Two classes whose probabilities differ by less are a tie: rounding decides which one is named.
_TIE = 0.01


@dataclass(frozen=True)
class HalfPrecision:
    """What half precision does to a network on some images."""

    images: int
    """Number of images that were measured."""
    largest_value: float
    """Largest magnitude of any tensor in float32."""
    largest_sum: float
    """Largest sum of magnitudes in any operation, which no partial sum exceeds, in float32."""
    operation: str
    """The operation with the largest sum, and the name of its output."""
    finite: bool
    """Whether all emulated answers are finite numbers."""
    changed: int
    """Number of images for which the emulation names another class than float32, or none; ties do not count."""
    max_difference: float | None
    """Largest difference of one probability between the emulation and float32; None if an answer is not finite."""

    @property
    def overflows(self) -> bool:
        """Whether a value or a partial sum may exceed the largest half."""
        return max(self.largest_value, self.largest_sum) > LARGEST


def measure(content: bytes, images: np.ndarray) -> HalfPrecision:
    """Measure a model on images.

    Args:
        content: A LiteRT model that computes in floating point.
        images: `[N, S, S, 3]`, RGB, at least one, as the model takes them.

    Raises:
        UnsupportedOperation: The network has an operation that cannot be emulated; the message names it.
        ExportError: This is not a LiteRT model.
    """
    network = read_network(content)
    sums, exact, half = _Sums(network), [], []
    emulated = _in_half(network)
    largest = 4 * max(int(np.prod(network.shapes[operation.output])) for operation in network.operations)
    size = max(1, _MAX_TENSOR_BYTES // largest)
    for start in range(0, len(images), size):
        batch = tf.constant(images[start : start + size], tf.float32)
        exact.append(network.run(batch, sums.look, sums.compute).numpy())
        half.append(emulated.run(batch, _round, _half).numpy())
    expected, found = np.concatenate(exact), np.concatenate(half)
    finite = bool(np.isfinite(found).all())
    return HalfPrecision(
        images=len(images),
        largest_value=sums.largest_value,
        largest_sum=sums.largest_sum,
        operation=sums.operation,
        finite=finite,
        changed=_changed(expected, found),
        max_difference=float(np.abs(found - expected).max()) if finite else None,
    )


def _changed(expected: np.ndarray, found: np.ndarray) -> int:
    """Count the images whose class differs, or whose answer is not finite; both arguments are `[N, C]`."""
    named = np.take_along_axis(expected, found.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    return int((~np.isfinite(found).all(axis=1) | (expected.max(axis=1) - named >= _TIE)).sum())


class _Sums:
    """Largest values and sums of a network that computes in float32."""

    def __init__(self, network: Network) -> None:
        self.largest_value = self.largest_sum = 0.0
        self.operation = ""
        self._names = network.names
        self._largest: dict[int, float] = {}
        """Largest magnitude of each computed tensor, in the current batch."""
        self._gains = {o.output: _gain(o, network) for o in network.operations if o.kind in WEIGHTED}

    def look(self, _: Operation | None, number: int, value: tf.Tensor) -> tf.Tensor:
        self._largest[number] = _largest(value)
        self.largest_value = max(self.largest_value, self._largest[number])
        return value

    def compute(self, operation: Operation, operands: Sequence[Any]) -> tf.Tensor:
        if operation.kind in WEIGHTED:
            # Most sums cannot be the largest, which is known without computing them.
            weights, bias = self._gains[operation.output]
            if self._largest[operation.inputs[0]] * weights + bias <= self.largest_sum:
                return result(operation, operands)
        found = _largest_sum(operation, operands)
        if found > self.largest_sum:
            self.largest_sum = found
            self.operation = f"{operation.kind} {self._names[operation.output].rsplit(';', 1)[-1]}"
        return result(operation, operands)


def _gain(operation: Operation, network: Network) -> tuple[float, float]:
    """Return the largest sum of weights' magnitudes of an output channel, and the largest magnitude of a bias."""
    kernel, bias = (np.abs(network.constants[number]) for number in operation.inputs[1:3])
    axes = (0, 1, 2) if operation.kind == DEPTHWISE else tuple(range(1, kernel.ndim))
    return float(kernel.sum(axis=axes).max()), float(bias.max())


def _largest_sum(operation: Operation, operands: Sequence[Any]) -> float:
    """Return the largest sum of magnitudes that an operation computes; 0 if it adds nothing up."""
    if operation.kind in WEIGHTED:
        return _largest(linear(operation, [tf.abs(operand) for operand in operands]))
    if operation.kind in _POOLS:
        height, width = _window(operation, operands)
        # At the border of a padded map, the average is of fewer values: this bound is then too large, never too small.
        return _largest(linear(operation, [tf.abs(operands[0]), *operands[1:]])) * height * width
    if operation.kind == "HARD_SWISH":  # x relu6(x + 3) / 6: the product before the division
        return 6 * _largest(operands[0])
    return 0.0


def _largest(value: Any) -> float:
    """Return the largest magnitude; infinity if a value is not a number."""
    values = np.asarray(value)
    largest = max(float(values.max()), -float(values.min()))  # NumPy's are NaN if one value is
    return largest if np.isfinite(largest) else np.inf


def _in_half(network: Network) -> Network:
    """Return a network with its weights rounded to half."""
    constants = {n: v if v.dtype == np.int32 else _rounded(v).numpy() for n, v in network.constants.items()}
    return replace(network, constants=constants)


def _round(_: Operation | None, __: int, value: tf.Tensor) -> tf.Tensor:
    return _rounded(value)


def _half(operation: Operation, operands: Sequence[Any]) -> tf.Tensor:
    """Compute an operation on values that a half has; its result is not rounded yet, except for sums in half."""
    if operation.kind in _POOLS:
        return _pool(operation, operands)
    if operation.kind == DENSE:
        return activate(operation, _dense(*operands))
    return result(operation, operands)


def _rounded(value: Any) -> tf.Tensor:
    """Round float32 to the nearest half, to even on a tie; beyond the largest half to infinity."""
    return tf.cast(tf.cast(value, tf.float16), tf.float32)


def _dense(values: Any, kernel: np.ndarray, bias: np.ndarray) -> tf.Tensor:
    """Return the dense layer's output float32 `[N, C]`, its products and sums rounded to half one after the other."""
    halves, weights = np.asarray(values).astype(np.float16), kernel.astype(np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.zeros((len(halves), len(weights)), np.float16)
        for column, row in zip(halves.T, weights.T, strict=True):
            total += column[:, np.newaxis] * row
        return tf.constant((total + bias.astype(np.float16)).astype(np.float32))


def _pool(operation: Operation, operands: Sequence[Any]) -> tf.Tensor:
    """Return the means of windows, float32: summed in half one value after the other, then divided in float32."""
    (height, width), (down, across), padding = _window(operation, operands), *_steps(operation)
    values = np.asarray(operands[0]).astype(np.float16)
    ones = np.ones((1, *values.shape[1:3], 1), np.float32)
    if padding:
        around = [(0, 0), _around(values.shape[1], height, down), _around(values.shape[2], width, across), (0, 0)]
        values, ones = np.pad(values, around), np.pad(ones, around)
    rows = range(0, values.shape[1] - height + 1, down)
    columns = range(0, values.shape[2] - width + 1, across)
    total: Any = np.float16(0)
    count: Any = np.float32(0)
    with np.errstate(over="ignore", invalid="ignore"):
        for y in range(height):
            for x in range(width):
                at = (slice(None), slice(y, y + rows[-1] + 1, down), slice(x, x + columns[-1] + 1, across))
                total, count = total + values[at], count + ones[at]
        mean = tf.constant(total.astype(np.float32) / count)
    if operation.kind == "MEAN" and not operation.options.keepDims:
        mean = tf.squeeze(mean, _HEIGHT_AND_WIDTH)
    return activate(operation, mean)


def _window(operation: Operation, operands: Sequence[Any]) -> tuple[int, int]:
    """Return height and width of the windows of a pool."""
    if operation.kind != "MEAN":
        return operation.options.filterHeight, operation.options.filterWidth
    axes = sorted(np.ravel(operands[1]).tolist())
    if axes != _HEIGHT_AND_WIDTH:
        raise UnsupportedOperation(f"MEAN over the axes {axes}")
    return int(operands[0].shape[1]), int(operands[0].shape[2])


def _steps(operation: Operation) -> tuple[tuple[int, int], bool]:
    """Return the steps between the windows of a pool, down and across, and whether the map is padded."""
    if operation.kind == "MEAN":
        return (1, 1), False
    options = operation.options
    return (options.strideH, options.strideW), options.padding == schema.Padding.SAME


def _around(size: int, window: int, step: int) -> tuple[int, int]:
    """Return TensorFlow's padding `SAME` before and after an axis."""
    missing = max((-(-size // step) - 1) * step + window - size, 0)
    return missing // 2, missing - missing // 2
