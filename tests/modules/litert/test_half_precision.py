"""Half precision is measured and emulated with the results that 16 bits have, not those of a CPU."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from edgetune.modules.litert import half_precision
from edgetune.modules.litert.graph import DENSE, Operation, UnsupportedOperation, linear
from edgetune.modules.litert.half_precision import LARGEST, measure
from tests.tiny import edge, hard_swish, loud

IMAGES = edge.representative()


def mean(keep: bool = False) -> Operation:
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    return Operation("MEAN", (0, 1), 2, options)


def average(height: int, width: int, down: int, across: int, padding: int) -> Operation:
    options = schema.Pool2DOptionsT()
    options.filterHeight, options.filterWidth, options.strideH, options.strideW = height, width, down, across
    options.padding, options.fusedActivationFunction = padding, schema.ActivationFunctionType.NONE
    return Operation("AVERAGE_POOL_2D", (0,), 1, options)


BOTH = np.int32([1, 2])


def test_the_largest_half_is_that_of_ieee_754():
    assert LARGEST == (2 - 2**-10) * 2**15 == 65504


def test_an_overflowing_pool_is_found_with_the_sum_that_it_has():
    found = measure(loud.one_step(), IMAGES)
    activations = loud.GAIN * IMAGES.astype(np.float64) / 127.5
    assert found.largest_sum == pytest.approx(activations.sum(axis=(1, 2)).max(), rel=1e-3)
    assert found.largest_sum > LARGEST > found.largest_value == IMAGES.max()
    assert found.operation.startswith("MEAN ") and "pool" in found.operation
    assert found.overflows and not found.finite and found.max_difference is None
    assert found.changed == found.images == len(IMAGES)


def test_a_normal_network_is_safe_in_every_floating_point_variant():
    for variant in ("float32", "float16", "dynamic"):
        found = measure(edge.converted()[variant], IMAGES)
        assert not found.overflows and found.finite and found.changed == 0
        # The pool of one row: 32 values of at most 6.
        assert 32 * 2 < found.largest_sum <= 32 * 6 and found.largest_value == IMAGES.max()
        assert 0 < found.max_difference < 0.01


def test_no_sum_is_larger_than_the_one_that_is_reported():
    network, every = hard_swish.network(), []

    def compute(operation, operands):
        every.append(half_precision._largest_sum(operation, operands))
        return half_precision.result(operation, operands)

    images = hard_swish.images(8)
    network.run(tf.constant(images, tf.float32), lambda _, __, value: value, compute)
    assert measure(hard_swish.content(), images).largest_sum == pytest.approx(max(every), rel=1e-6)


def test_a_sum_is_that_of_magnitudes_because_it_bounds_every_order():
    values = tf.constant([[3.0, -4.0]])
    dense = Operation(DENSE, (0, 1, 2), 3)
    assert half_precision._largest_sum(dense, [values, np.float32([[2, 1]]), np.float32([-5])]) == 6 + 4 + 5
    grid = tf.constant(np.float32([[1, -2], [3, -4]]).reshape(1, 2, 2, 1))
    assert half_precision._largest_sum(mean(), [grid, BOTH]) == 1 + 2 + 3 + 4
    assert half_precision._largest_sum(Operation("HARD_SWISH", (0,), 1), [values]) == 6 * 4


def test_a_pool_stalls_where_a_half_stops_growing():
    # From 2,048 on, the step of a half is 2, and 2,048 + 1 is rounded to even.
    ones = tf.ones([1, 64, 64, 1])
    assert half_precision._pool(mean(), [ones, BOTH]).numpy() == np.float32([[0.5]])
    rows = half_precision._pool(average(1, 64, 1, 64, schema.Padding.VALID), [ones])
    assert rows.shape == (1, 64, 1, 1)
    assert half_precision._pool(mean(keep=True), [rows, BOTH]).numpy() == np.ones((1, 1, 1, 1))


def test_a_dense_layer_stalls_where_a_half_stops_growing():
    found = half_precision._dense(tf.ones([1, 4096]), np.ones((2, 4096), np.float32), np.float32([0, 2]))
    assert found.numpy().tolist() == [[2048, 2050]]


@pytest.mark.parametrize("padding", [schema.Padding.SAME, schema.Padding.VALID])
@pytest.mark.parametrize("window", [(3, 3, 1, 1), (3, 2, 2, 1), (2, 3, 2, 3)])
def test_small_pools_are_those_of_float32(padding, window):
    values = np.random.default_rng(1).integers(-9, 9, (2, 7, 6, 3)).astype(np.float32)
    operation = average(*window, padding)
    np.testing.assert_allclose(half_precision._pool(operation, [values]), linear(operation, [values]), rtol=1e-6)


def test_a_value_beyond_the_largest_half_is_infinite_and_others_are_rounded():
    assert half_precision._rounded([65519.0, -65520.0, 2049.0]).numpy().tolist() == [65504.0, -np.inf, 2048.0]


def test_a_value_that_is_not_a_number_counts_as_infinite():
    assert half_precision._largest(tf.constant([1.0, np.nan, 2.0])) == np.inf
    assert half_precision._largest(tf.constant([1.0, -3.0])) == 3


def test_a_tie_does_not_count_as_a_changed_class_but_an_infinite_answer_does():
    expected = np.float32([[0.5, 0.495, 0.005], [0.5, 0.48, 0.02], [0.9, 0.1, 0.0], [0.9, 0.1, 0.0]])
    found = np.float32([[0.49, 0.5, 0.01], [0.48, 0.5, 0.02], [0.8, 0.2, 0.0], [0.9, np.nan, 0.0]])
    assert half_precision._changed(expected, found) == 2


def test_a_mean_over_other_axes_is_not_supported():
    with pytest.raises(UnsupportedOperation, match="MEAN over the axes"):
        half_precision._window(mean(), [tf.ones([1, 2, 2, 1]), np.int32([3])])
