"""Preparing a network for `int8` hardly changes its answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.conversion.equalization import Equalized, equalize
from edgetune.modules.conversion.quantization import (
    Quantized,
    _rounded,
    bounds_of,
    channel_ranges,
    correct_biases,
    fake_quantized,
    quantize,
)
from edgetune.modules.litert.graph import CONV, DEPTHWISE, WEIGHTED, Network
from tests.tiny import hard_swish

IMAGES = hard_swish.images(24)


@pytest.fixture(scope="module")
def prepared() -> Quantized:
    return quantize(hard_swish.network(), IMAGES)


def scores(run, network: Network) -> np.ndarray:
    """Return the inputs of the softmax up to a constant, `[N, C]`."""
    probabilities = np.asarray(run(tf.constant(IMAGES, tf.float32)))
    logarithms = np.log(np.maximum(probabilities, 1e-12))
    return logarithms - logarithms.mean(axis=1, keepdims=True)


def layer_means(network: Network, bounds) -> dict[int, np.ndarray]:
    """Return the mean of each output channel of the weighted operations; with bounds, everything is in 8 bits."""
    found, constants = {}, dict(network.constants)
    for operation in network.operations if bounds else []:
        own = [number for number in operation.inputs if number in constants]
        constants.update({number: _rounded(operation, number, network.constants[number]) for number in own})

    def look(operation, number, value):
        if operation is not None and operation.kind in WEIGHTED:
            found[number] = value.numpy().reshape(-1, value.shape[-1]).mean(axis=0)
        return fake_quantized(value, bounds[number]) if number in bounds else value

    replace(network, constants=constants).run(tf.constant(IMAGES, tf.float32), look)
    return found


def shift_of(found: dict[int, np.ndarray], wanted: dict[int, np.ndarray]) -> float:
    """Return the relative difference of means from the expected ones, averaged over all layers."""
    return float(np.mean([np.abs(found[n] - wanted[n]).mean() / np.abs(wanted[n]).mean() for n in wanted]))


def exact(network: Network) -> np.ndarray:
    return scores(lambda images: network.run(images, lambda operation, number, value: value), network)


def test_fake_quantization_changes_the_scores_only_slightly(prepared):
    wanted, found = exact(hard_swish.network()), scores(prepared.run, prepared.network)
    assert 0 < np.abs(found - wanted).max() < 0.1 * np.ptp(wanted)


def test_the_images_range_is_0_to_255_and_every_range_contains_zero(prepared):
    assert prepared.bounds[prepared.network.image] == (0.0, 255.0)
    assert all(low <= 0.0 <= high and low < high for low, high in prepared.bounds.values())
    assert prepared.bounds[prepared.network.answer] == (0.0, 255 / 256)


def test_corrected_biases_restore_the_means():
    network = hard_swish.network()
    equalized = equalize(network, channel_ranges(network, IMAGES))
    bounds = bounds_of(equalized, channel_ranges(equalized.network, IMAGES))
    corrected = correct_biases(equalized.network, bounds, IMAGES)
    means = [layer_means(of, bounds) for of in (equalized.network, corrected)]
    before, after = (shift_of(means_of, layer_means(equalized.network, {})) for means_of in means)
    assert after < 0.5 * before


def test_values_clipped_by_a_range_do_not_shift_the_bias():
    # Hard swish is 0 far below -3: that the range ends there must not change the bias of the gate.
    network = hard_swish.network()
    first = next(operation for operation in network.operations if operation.kind == CONV)
    low = network.constants[first.inputs[2]].copy()
    low[0] = -40.0
    network.constants[first.inputs[2]] = low
    equalized = equalize(network, channel_ranges(network, IMAGES))
    bounds = bounds_of(equalized, channel_ranges(equalized.network, IMAGES))
    corrected = correct_biases(equalized.network, bounds, IMAGES)
    gate = next(o for o in corrected.operations if o.kind == DEPTHWISE and o.inputs[0] == first.output)
    assert abs(corrected.constants[gate.inputs[2]][0] - 3.0) < 0.1


def test_only_biases_are_corrected():
    network = hard_swish.network()
    equalized = equalize(network, channel_ranges(network, IMAGES))
    bounds = bounds_of(equalized, channel_ranges(equalized.network, IMAGES))
    corrected = correct_biases(equalized.network, bounds, IMAGES)
    biases = {operation.inputs[2] for operation in corrected.operations if operation.kind in WEIGHTED}
    changed = {
        number
        for number, value in corrected.constants.items()
        if not np.array_equal(value, equalized.network.constants[number])
    }
    assert changed and changed <= biases


def test_quantization_is_reproducible(prepared):
    again = quantize(hard_swish.network(), IMAGES)
    assert again.bounds == prepared.bounds
    assert set(again.network.constants) == set(prepared.network.constants)
    for number, value in prepared.network.constants.items():
        np.testing.assert_array_equal(again.network.constants[number], value)


def test_a_range_contains_0_and_spans_all_channels():
    network = hard_swish.network()
    operation = next(each for each in network.operations if each.kind == CONV)
    of_ranges = {each.output: (np.float32([0, -1]), np.float32([1, 2])) for each in network.operations}
    of_ranges[operation.output] = np.float32([1, 2]), np.float32([3, 9])
    assert bounds_of(Equalized(network, {}, {}), of_ranges)[operation.output] == (0.0, 9.0)
    of_ranges[operation.output] = np.float32([-4, -2]), np.float32([-3, -1])
    assert bounds_of(Equalized(network, {}, {}), of_ranges)[operation.output] == (-4.0, 0.0)


def test_a_kernel_is_rounded_with_a_scale_for_each_output_channel():
    network = hard_swish.network()
    operation = next(each for each in network.operations if each.kind == CONV)
    kernel = np.float32([[[[1.0, 0.3]]], [[[0.001, 0.0003]]]])  # one channel is a thousandth of the other
    found = _rounded(operation, operation.inputs[1], kernel)
    np.testing.assert_allclose(found, np.round(kernel / kernel[..., :1] * 127) / 127 * kernel[..., :1], rtol=1e-5)
