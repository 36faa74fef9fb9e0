"""Equalization makes the ranges of channels similar without changing what the network computes."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from edgetune.modules.conversion.equalization import Equalized, _factor, equalize
from edgetune.modules.conversion.quantization import channel_ranges
from edgetune.modules.litert.graph import CONV, DEPTHWISE, WEIGHTED, Network
from tests.tiny import hard_swish

IMAGES = hard_swish.images()


def equalized() -> Equalized:
    network = hard_swish.network()
    return equalize(network, channel_ranges(network, IMAGES))


def probabilities(network: Network) -> np.ndarray:
    return network.run(tf.constant(IMAGES, tf.float32), lambda operation, number, value: value).numpy()


def unevenness(network: Network, number: int, lowest: np.ndarray | None = None) -> float:
    """Return the ratio of the largest magnitude of a tensor's channels to the smallest."""
    low, high = channel_ranges(network, IMAGES)[number]
    magnitude = np.maximum(high, -(low if lowest is None else np.maximum(low, lowest)))
    return float(magnitude.max() / magnitude.min())


def first_of(network: Network) -> int:
    """Return the output of the first convolution, which only a hard swish reads."""
    return next(operation.output for operation in network.operations if operation.kind == CONV)


def test_equalization_does_not_change_the_answers():
    before, after = probabilities(hard_swish.network()), probabilities(equalized().network)
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_biases_are_scaled_with_their_channels():
    network, random = hard_swish.network(), np.random.default_rng(1)
    for operation in network.operations:
        if operation.kind in WEIGHTED:
            bias = network.constants[operation.inputs[2]]
            network.constants[operation.inputs[2]] = random.normal(0, 0.5, bias.shape).astype(np.float32)
    made = equalize(network, channel_ranges(network, IMAGES))
    assert made.factors
    np.testing.assert_allclose(probabilities(made.network), probabilities(network), atol=1e-5)


def test_ranges_of_channels_become_similar():
    network, made = hard_swish.network(), equalized()
    first = first_of(network)
    assert unevenness(network, first) > 20
    assert unevenness(made.network, first, made.lowest[first]) < 7
    assert made.factors[first].max() == 1.0 and made.factors[first].min() >= 1 / 16


def test_a_hard_swish_is_rewritten_as_a_gate_and_a_product():
    network, made = hard_swish.network(), equalized()
    changed = [operation for operation in network.operations if operation.kind == "HARD_SWISH"]
    assert len(changed) == 2
    assert "HARD_SWISH" not in {operation.kind for operation in made.network.operations}
    for swish in changed:
        [x], y = swish.inputs, swish.output
        [product] = [operation for operation in made.network.operations if operation.output == y]
        [gate] = [operation for operation in made.network.operations if operation.output == product.inputs[1]]
        assert (product.kind, gate.kind, gate.inputs[0], product.inputs[0]) == ("MUL", DEPTHWISE, x, x)
        # Below -3 the product is 0, so the range of x ends there.
        np.testing.assert_allclose(made.lowest[x] * made.factors.get(x, 1.0), -3.0, rtol=1e-6)


def test_a_hard_swish_whose_output_is_added_is_not_rewritten():
    network = hard_swish.network(added=True)
    made = equalize(network, channel_ranges(network, IMAGES))
    assert [operation.kind for operation in made.network.operations].count("HARD_SWISH") == 1
    np.testing.assert_allclose(probabilities(made.network), probabilities(network), atol=1e-5)


def test_the_given_network_is_not_changed():
    network = hard_swish.network()
    before = {number: value.copy() for number, value in network.constants.items()}
    operations, shapes = list(network.operations), dict(network.shapes)
    equalize(network, channel_ranges(network, IMAGES))
    assert network.operations == operations and network.shapes == shapes
    assert set(network.constants) == set(before)
    for number, value in before.items():
        np.testing.assert_array_equal(network.constants[number], value)


def test_the_factor_of_an_inactive_channel_is_bounded():
    network = hard_swish.network()
    ranges = channel_ranges(network, IMAGES)
    first = first_of(network)
    low, high = ranges[first]
    ranges[first] = np.where(np.arange(len(low)) == 3, 0, low), np.where(np.arange(len(low)) == 3, 0, high)
    made = equalize(network, ranges)
    assert made.factors[first][3] == np.float32(1 / 16)
    np.testing.assert_allclose(probabilities(made.network), probabilities(network), atol=1e-5)


def test_input_and_dense_outputs_are_not_equalized():
    network, made = hard_swish.network(), equalized()
    kept = {network.image, network.answer}
    kept |= {operation.output for operation in network.operations if operation.kind == "FULLY_CONNECTED"}
    assert not kept & set(made.factors)


def part_of_the_range(ranges, factor: np.ndarray, channel: int) -> float:
    """Return the spread of one channel relative to the common range of all."""
    lowest, highest = (values / factor for values in ranges)
    return float((highest - lowest)[channel] / (highest.max() - lowest.min()))


def test_small_channels_below_zero_do_not_double_the_range_of_the_others():
    # One channel reaches as far below 0 as above; the others are positive only, and have a small spread.
    ranges = np.array([-3.0, 2.0, 2.0, 18.0], np.float32), np.array([3.0, 3.0, 3.0, 20.0], np.float32)
    by_magnitude = ranges[1] / ranges[1].max()
    assert part_of_the_range(ranges, _factor([ranges]), 1) > 1.5 * part_of_the_range(ranges, by_magnitude, 1)


def test_channels_on_both_sides_of_zero_are_divided_by_their_magnitude():
    ranges = np.array([-3.0, -2.0, -20.0], np.float32), np.array([3.0, 2.0, 20.0], np.float32)
    np.testing.assert_allclose(_factor([ranges]), [0.15, 0.1, 1.0], rtol=1e-6)
