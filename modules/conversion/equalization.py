"""Changing a network so that 8 bits are enough for each of its tensors, while it computes the same.

A quantized tensor has one scale for all its channels, and where one channel is a hundred times as loud as another, the
quiet one is left with two or three steps. Two changes help, and neither changes what the network computes:

- *Equalisation*: where only convolutions write and read a tensor, a channel may be divided by a factor in the kernel
  that writes it, and multiplied by it in the kernels that read it; kernels have a scale for each channel. ReLU lets a
  positive factor pass, and so do sums, means, pooling and padding, if all that comes together has the same factors.
  (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019; here the activations
  are equalised and not the kernels, which have a scale for each channel anyway.)
- *Hard swish*, x relu6(x + 3) / 6, lets no factor pass. As `gate = relu6(k x' + 3)`, a depthwise 1 x 1 convolution,
  and `6 y / k = x' gate`, a product, it takes an equalised x' and gives an equalised y; the kernels that read y
  divide by 6. What is far below -3 may then be cut off, as it makes no difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgetune.modules.litert.graph import CONV, DENSE, DEPTHWISE, WEIGHTED, Network, Operation

Range = tuple[np.ndarray, np.ndarray]
"""Lowest and highest value of each channel, float32 `[C]` both."""

# A channel that was silent on the images of calibration need not be so for ever.
_QUIETEST = 1 / 16
# Nor does a channel matter without a bound because it hardly moves.
_NARROWEST = 1 / 64
# How much a value below 0 counts against one above: see `_factor`.
_NEGATIVE_SIDES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
_HARD_SWISH_FROM = -3.0  # below, hard swish is 0
_PASSING = ("PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "RELU")
_POSITIVE = (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU)


@dataclass(frozen=True)
class Equalised:
    """What `equalise` made."""

    network: Network
    factors: Mapping[int, np.ndarray]
    """By which each channel of a tensor was divided; tensors that are as they were are not there."""
    lowest: Mapping[int, np.ndarray]
    """Of tensors that only a hard swish reads: what lies below this value of a channel makes no difference."""


def equalise(network: Network, ranges: Mapping[int, Range]) -> Equalised:
    """Equalises the channels of every tensor where that is possible, and makes hard swish allow it.

    Args:
        network: It is not changed.
        ranges: Of every tensor that is computed, on typical images.

    Returns:
        A network that computes the same but for the rounding of float32.
    """
    network, gated = _without_hard_swish(network)
    groups = _groups(network)
    sixfold = _sixfold(network, set(gated.values()))
    factors: dict[int, np.ndarray] = {}
    for group in groups:
        # A tensor from which the hard swish was taken still has the range that it had there.
        seen = [_needed(ranges[n], n in gated) for n in sorted(group) if n in ranges]
        if max(np.abs(both).max() for both in seen) > 0:
            factors.update(dict.fromkeys(group, _factor(seen)))
    one = np.ones(1, np.float32)
    lowest = {number: _HARD_SWISH_FROM / factors.get(number, one) for number in gated}
    factors.update({number: factors.get(number, one) / 6 for number in sixfold})
    return Equalised(_scaled(network, factors), factors, lowest)


def _needed(range_: Range, gated: bool) -> Range:
    """The range that makes a difference."""
    lowest, highest = range_
    return (np.maximum(lowest, _HARD_SWISH_FROM), np.maximum(highest, _HARD_SWISH_FROM)) if gated else range_


def _factor(seen: Sequence[Range]) -> np.ndarray:
    """The factors of the channels of tensors that must have the same, float32 `[C]`, 1 for the loudest.

    Divided by how loud it is, every channel fills the range; but which side of it counts? Where many channels are
    positive alone, a few quiet ones that are as far below 0 as above would double the range of all, which is better
    spent otherwise. So several weights of the negative side are tried, and the one is taken with the least noise.
    """
    tried = []
    for weight in _NEGATIVE_SIDES:
        loudest = np.max([np.maximum(highest, -lowest * weight) for lowest, highest in seen], axis=0)
        factor = np.maximum(loudest / loudest.max(), _QUIETEST).astype(np.float32)
        tried.append((sum(_noise(lowest / factor, highest / factor) for lowest, highest in seen), factor))
    return min(tried, key=lambda pair: pair[0])[1]


def _noise(lowest: np.ndarray, highest: np.ndarray) -> float:
    """Noise of rounding by signal, up to a constant, of all channels: their common step by what each moves through."""
    spread = np.maximum(highest - lowest, _NARROWEST * (highest - lowest).max())
    return float(np.square((max(highest.max(), 0) - min(lowest.min(), 0)) / spread).sum())


def _without_hard_swish(network: Network) -> tuple[Network, dict[int, int]]:
    """The network with its hard swishes as gates and products, and the output of each by its input."""
    readers = network.readers()
    changed = replace(network, operations=[], constants=dict(network.constants), names=dict(network.names))
    changed.shapes = dict(network.shapes)
    gated: dict[int, int] = {}
    for operation in network.operations:
        [x, *_], y = operation.inputs, operation.output
        alone = operation.kind == "HARD_SWISH" and readers[x] == [operation] and x != network.image
        if not alone or not _takes_a_factor(y, network, readers):
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


def _takes_a_factor(number: int, network: Network, readers: Mapping[int, list[Operation]]) -> bool:
    """Whether a tensor could be multiplied, because kernels at the end of all ways can be divided by as much."""
    for reader in readers.get(number, []):
        if reader.kind in WEIGHTED:
            continue
        passes = reader.kind in _PASSING or (_is_product(reader, network) and _valued(reader, network) == number)
        if not passes or not _takes_a_factor(reader.output, network, readers):
            return False
    return number != network.answer


def _sixfold(network: Network, products: set[int]) -> set[int]:
    """Tensors that hold six times what they held before: the products, and what comes of them unweighted."""
    found = set(products)
    for operation in network.operations:
        if operation.kind in _PASSING or (_is_product(operation, network) and operation.output not in products):
            source = _valued(operation, network) if operation.kind == "MUL" else operation.inputs[0]
            if source in found:
                found.add(operation.output)
    return found


def _is_product(operation: Operation, network: Network) -> bool:
    """Whether it multiplies two computed tensors."""
    computed = not set(operation.inputs) & set(network.constants)
    return operation.kind == "MUL" and computed and operation.activation == schema.ActivationFunctionType.NONE


def _valued(operation: Operation, network: Network) -> int:
    """Of a product's tensors the one that takes the factors; the other is the gate, the smaller one."""
    first, second = operation.inputs
    return second if np.prod(network.shapes[second]) > np.prod(network.shapes[first]) else first


def _groups(network: Network) -> list[set[int]]:
    """Tensors that must have the same factors, where they may have any."""
    groups = _Groups()
    groups.keep(network.image, network.answer)
    for operation in network.operations:
        values, output = operation.inputs, operation.output
        if operation.kind in (CONV, DEPTHWISE):
            groups.join(output)
            if operation.activation not in _POSITIVE:
                groups.keep(output)
            if operation.kind == DEPTHWISE and operation.options.depthMultiplier != 1:
                groups.keep(values[0], output)
        elif operation.kind == DENSE:
            groups.keep(values[0], output)  # its kernel has one scale, not one for each channel
        elif operation.kind in _PASSING:
            spatial = operation.kind != "MEAN" or sorted(np.ravel(network.constants[values[1]]).tolist()) == [1, 2]
            groups.join(values[0], output)
            if not spatial:
                groups.keep(output)
        elif operation.kind == "ADD" and len({network.shapes[n] for n in values}) == 1:
            groups.join(*values, output)
            if operation.activation not in _POSITIVE or set(values) & set(network.constants):
                groups.keep(output)
        elif _is_product(operation, network):
            valued = _valued(operation, network)
            groups.join(valued, output)
            groups.keep(*(n for n in values if n != valued))
        else:
            groups.keep(*(n for n in values if n not in network.constants), output)
    return groups.free()


def _scaled(network: Network, factors: Mapping[int, np.ndarray]) -> Network:
    """The network with kernels and biases for tensors divided by their factors."""
    constants = dict(network.constants)
    for operation in network.operations:
        if operation.kind not in WEIGHTED:
            continue
        source, kernel, bias = operation.inputs
        read, written = factors.get(source), factors.get(operation.output)
        values, offsets = constants[kernel].astype(np.float64), constants[bias].astype(np.float64)
        if read is not None:
            values = values * read  # what is read stands last in the shape of every kernel
        if written is not None:
            values = values / (written if operation.kind == DEPTHWISE else written.reshape(-1, 1, 1, 1))
            offsets = offsets / written
        constants[kernel], constants[bias] = values.astype(np.float32), offsets.astype(np.float32)
    return replace(network, constants=constants)


class _Groups:
    """Disjoint sets of numbers, of which some may not be changed."""

    def __init__(self) -> None:
        self._group: dict[int, set[int]] = {}
        self._kept: set[int] = set()

    def join(self, *numbers: int) -> None:
        together = set[int]().union(*(self._group.get(number, {number}) for number in numbers))
        self._group.update(dict.fromkeys(together, together))

    def keep(self, *numbers: int) -> None:
        for number in numbers:
            self.join(number)
            self._kept.add(number)

    def free(self) -> list[set[int]]:
        distinct = {id(group): group for group in self._group.values()}
        return [group for group in distinct.values() if not group & self._kept]
