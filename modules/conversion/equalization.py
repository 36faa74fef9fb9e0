"""Rescale the channels of a network for 8-bit quantization without changing what it computes.

A quantized tensor has one scale for all its channels. If one channel's range is a hundred times as large as another's,
the small one is left with two or three steps. Two transformations help:

- *Equalization*: if only convolutions write and read a tensor, a channel can be divided by a factor in the kernel that
  writes it and multiplied by it in the kernels that read it, as kernels have a scale for each channel. A positive
  factor passes through ReLU, and through sums, means, pooling and padding if all their inputs have the same factors.
  (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019; here activations are
  equalized instead of kernels, which have a scale for each channel anyway.)
- *Hard swish*, x relu6(x + 3) / 6, does not pass factors. Rewritten as `gate = relu6(k x' + 3)`, a depthwise 1 x 1
  convolution, and `6 y / k = x' gate`, a product, it takes an equalized x' and gives an equalized y; the kernels that
  read y divide by 6. Values far below -3 may then be clipped, as hard swish is 0 there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgetune.modules.litert.graph import CONV, DENSE, DEPTHWISE, WEIGHTED, Network, Operation

Range = tuple[np.ndarray, np.ndarray]
"""Lowest and highest value of each channel, float32 `[C]` both."""

# Lower bound of a factor: a channel that was inactive on the calibration images may be active on others.
_MIN_FACTOR = 1 / 16
# Lower bound of a channel's spread relative to the widest one, so that an almost constant channel does not dominate.
_MIN_SPREAD = 1 / 64
# Candidate weights of negative values relative to positive ones: see `_factor`.
_NEGATIVE_WEIGHTS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
_HARD_SWISH_FROM = -3.0  # below, hard swish is 0
_PASSING = ("PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "RELU")
_POSITIVE = (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU)


@dataclass(frozen=True)
class Equalized:
    """Result of `equalize`."""

    network: Network
    factors: Mapping[int, np.ndarray]
    """The factors that each channel of a tensor was divided by; unchanged tensors are absent."""
    lowest: Mapping[int, np.ndarray]
    """For tensors that only a hard swish reads: values of a channel below this one make no difference."""


def equalize(network: Network, ranges: Mapping[int, Range]) -> Equalized:
    """Equalize the channels of every tensor that allows it, rewriting hard swish so that it does.

    Args:
        network: The network; it is not changed.
        ranges: Ranges of all computed tensors, on typical images.

    Returns:
        A network that computes the same, except for float32 rounding.
    """
    network, gated = _without_hard_swish(network)
    groups = _groups(network)
    sixfold = _sixfold(network, set(gated.values()))
    factors: dict[int, np.ndarray] = {}
    for group in groups:
        # The range of the input of a rewritten hard swish is unchanged.
        seen = [_needed(ranges[n], n in gated) for n in sorted(group) if n in ranges]
        if max(np.abs(both).max() for both in seen) > 0:
            factors.update(dict.fromkeys(group, _factor(seen)))
    one = np.ones(1, np.float32)
    lowest = {number: _HARD_SWISH_FROM / factors.get(number, one) for number in gated}
    factors.update({number: factors.get(number, one) / 6 for number in sixfold})
    return Equalized(_scaled(network, factors), factors, lowest)


def _needed(range_: Range, gated: bool) -> Range:
    """Return the part of a range that makes a difference."""
    lowest, highest = range_
    return (np.maximum(lowest, _HARD_SWISH_FROM), np.maximum(highest, _HARD_SWISH_FROM)) if gated else range_


def _factor(seen: Sequence[Range]) -> np.ndarray:
    """Return the per-channel factors shared by a group of tensors, float32 `[C]`, 1 for the largest channel.

    Divided by its largest magnitude, every channel fills the range. But if most channels are only positive, a few small
    ones that reach as far below 0 as above would double the range of all. So several weights of the negative side are
    tried, and the one with the least noise is chosen.
    """
    tried = []
    for weight in _NEGATIVE_WEIGHTS:
        largest = np.max([np.maximum(highest, -lowest * weight) for lowest, highest in seen], axis=0)
        factor = np.maximum(largest / largest.max(), _MIN_FACTOR).astype(np.float32)
        tried.append((sum(_noise(lowest / factor, highest / factor) for lowest, highest in seen), factor))
    return min(tried, key=lambda pair: pair[0])[1]


def _noise(lowest: np.ndarray, highest: np.ndarray) -> float:
    """Return the rounding noise relative to the signal, up to a constant, summed over all channels.

    It is the square of the ratio of the common range, which fixes the step, to each channel's spread.
    """
    spread = np.maximum(highest - lowest, _MIN_SPREAD * (highest - lowest).max())
    return float(np.square((max(highest.max(), 0) - min(lowest.min(), 0)) / spread).sum())


def _without_hard_swish(network: Network) -> tuple[Network, dict[int, int]]:
    """Rewrite hard swishes as gates and products; return the network, and the output of each by its input."""
    readers = network.readers()
    changed = replace(network, operations=[], constants=dict(network.constants), names=dict(network.names))
    changed.shapes = dict(network.shapes)
    gated: dict[int, int] = {}
    for operation in network.operations:
        [x, *_], y = operation.inputs, operation.output
        only_reader = operation.kind == "HARD_SWISH" and readers[x] == [operation] and x != network.image
        if not only_reader or not _can_be_scaled(y, network, readers):
            changed.operations.append(operation)
            continue
        channels = network.shapes[x][-1]
        name = network.names[y]
        kernel = changed.add_tensor(f"{name}/gate_kernel", (1, 1, 1, channels), np.ones((1, 1, 1, channels)))
        bias = changed.add_tensor(f"{name}/gate_bias", (channels,), np.full(channels, -_HARD_SWISH_FROM))
        gate = changed.add_tensor(f"{name}/gate", network.shapes[x])
        options = schema.DepthwiseConv2DOptionsT()
        options.padding, options.strideH, options.strideW, options.depthMultiplier = schema.Padding.VALID, 1, 1, 1
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU6
        changed.operations += [
            Operation(DEPTHWISE, (x, kernel, bias), gate, options),
            Operation("MUL", (x, gate), y, schema.MulOptionsT()),
        ]
        gated[x] = y
    return changed, gated


def _can_be_scaled(number: int, network: Network, readers: Mapping[int, list[Operation]]) -> bool:
    """Return whether a tensor can be multiplied by a factor, because on every path a kernel can divide by it."""
    for reader in readers.get(number, []):
        if reader.kind in WEIGHTED:
            continue
        passes = reader.kind in _PASSING or (_is_product(reader, network) and _scaled_input(reader, network) == number)
        if not passes or not _can_be_scaled(reader.output, network, readers):
            return False
    return number != network.answer


def _sixfold(network: Network, products: set[int]) -> set[int]:
    """Return the tensors that hold six times their former values: the products, and all up to the next kernels."""
    found = set(products)
    for operation in network.operations:
        if operation.kind in _PASSING or (_is_product(operation, network) and operation.output not in products):
            source = _scaled_input(operation, network) if operation.kind == "MUL" else operation.inputs[0]
            if source in found:
                found.add(operation.output)
    return found


def _is_product(operation: Operation, network: Network) -> bool:
    """Return whether an operation multiplies two computed tensors."""
    computed = not set(operation.inputs) & set(network.constants)
    return operation.kind == "MUL" and computed and operation.activation == schema.ActivationFunctionType.NONE


def _scaled_input(operation: Operation, network: Network) -> int:
    """Return the larger of a product's inputs, which takes the factors; the smaller one is the gate."""
    first, second = operation.inputs
    return second if np.prod(network.shapes[second]) > np.prod(network.shapes[first]) else first


def _groups(network: Network) -> list[set[int]]:
    """Return groups of tensors that must share their factors; tensors that cannot be scaled are left out."""
    groups = _Groups()
    groups.pin(network.image, network.answer)
    for operation in network.operations:
        values, output = operation.inputs, operation.output
        if operation.kind in (CONV, DEPTHWISE):
            groups.join(output)
            if operation.activation not in _POSITIVE:
                groups.pin(output)
            if operation.kind == DEPTHWISE and operation.options.depthMultiplier != 1:
                groups.pin(values[0], output)
        elif operation.kind == DENSE:
            groups.pin(values[0], output)  # its kernel has one scale, not one for each channel
        elif operation.kind in _PASSING:
            spatial = operation.kind != "MEAN" or sorted(np.ravel(network.constants[values[1]]).tolist()) == [1, 2]
            groups.join(values[0], output)
            if not spatial:
                groups.pin(output)
        elif operation.kind == "ADD" and len({network.shapes[n] for n in values}) == 1:
            groups.join(*values, output)
            if operation.activation not in _POSITIVE or set(values) & set(network.constants):
                groups.pin(output)
        elif _is_product(operation, network):
            scaled = _scaled_input(operation, network)
            groups.join(scaled, output)
            groups.pin(*(n for n in values if n != scaled))
        else:
            groups.pin(*(n for n in values if n not in network.constants), output)
    return groups.free()


def _scaled(network: Network, factors: Mapping[int, np.ndarray]) -> Network:
    """Return the network with kernels and biases for tensors that are divided by their factors."""
    constants = dict(network.constants)
    for operation in network.operations:
        if operation.kind not in WEIGHTED:
            continue
        source, kernel, bias = operation.inputs
        read, written = factors.get(source), factors.get(operation.output)
        values, offsets = constants[kernel].astype(np.float64), constants[bias].astype(np.float64)
        if read is not None:
            values = values * read  # the last axis of every kernel is the input channel
        if written is not None:
            values = values / (written if operation.kind == DEPTHWISE else written.reshape(-1, 1, 1, 1))
            offsets = offsets / written
        constants[kernel], constants[bias] = values.astype(np.float32), offsets.astype(np.float32)
    return replace(network, constants=constants)


class _Groups:
    """Disjoint sets of tensor numbers; sets with a pinned number may not be scaled."""

    def __init__(self) -> None:
        self._group: dict[int, set[int]] = {}
        self._pinned: set[int] = set()

    def join(self, *numbers: int) -> None:
        together = set[int]().union(*(self._group.get(number, {number}) for number in numbers))
        self._group.update(dict.fromkeys(together, together))

    def pin(self, *numbers: int) -> None:
        for number in numbers:
            self.join(number)
            self._pinned.add(number)

    def free(self) -> list[set[int]]:
        distinct = {id(group): group for group in self._group.values()}
        return [group for group in distinct.values() if not group & self._pinned]
