"""A large global average pool is taken in two steps, which compute the same and sum less at once."""

from __future__ import annotations

import numpy as np
import pytest

from edgetune.modules.conversion import pooling
from edgetune.modules.conversion.pooling import two_step_pools
from edgetune.modules.core.errors import ExportError
from edgetune.modules.litert import inspection
from edgetune.modules.litert.graph import read_network
from edgetune.modules.litert.half_precision import measure
from edgetune.modules.litert.interpreter import EdgeRunner
from tests.tiny import edge, hard_swish, loud


def operations(content: bytes) -> list[str]:
    return [operation.kind for operation in read_network(content).operations]


def test_a_pool_of_rows_is_added_before_the_mean():
    before, after = operations(loud.one_step()), operations(two_step_pools(loud.one_step()))
    at = before.index("MEAN")
    assert "AVERAGE_POOL_2D" not in before
    assert after == [*before[:at], "AVERAGE_POOL_2D", *before[at:]]
    network = read_network(two_step_pools(loud.one_step()))
    assert [network.shapes[o.output] for o in network.operations if o.kind == "AVERAGE_POOL_2D"] == [(1, 32, 1, 3)]


@pytest.mark.parametrize(
    ("content", "images"), [(loud.one_step, edge.representative), (hard_swish.content, hard_swish.images)]
)
def test_the_interpreter_gives_the_same_answers_one_by_one_and_in_batches(content, images):
    expected = EdgeRunner(content()).probabilities(images())
    for batch in (1, 4):
        runner = EdgeRunner(two_step_pools(content()), batch)
        assert runner.batch == batch
        np.testing.assert_allclose(runner.probabilities(images()), expected, atol=1e-6)
    assert np.ptp(expected, axis=0).max() > 0.1


def test_every_large_pool_of_a_network_is_split():
    before, after = operations(hard_swish.content()), operations(two_step_pools(hard_swish.content()))
    assert before.count("MEAN") == after.count("MEAN") == after.count("AVERAGE_POOL_2D") == 2


@pytest.mark.parametrize(("largest", "split"), [(32 * 32, False), (32 * 32 - 1, True)])
def test_a_pool_that_is_not_too_large_is_left_alone(monkeypatch, largest, split):
    monkeypatch.setattr(pooling, "LARGEST_POOL", largest)
    assert (two_step_pools(loud.one_step()) != loud.one_step()) is split


def test_a_file_with_two_steps_is_left_alone():
    once = two_step_pools(loud.one_step())
    assert two_step_pools(once) is once


def test_the_floating_point_variants_are_written_with_two_steps_and_int8_with_one():
    found = {
        variant: "AVERAGE_POOL_2D" in inspection.inspect(edge.converted()[variant]).ops for variant in edge.VARIANTS
    }
    assert found == {"float32": True, "float16": True, "dynamic": True, "int8": False}
    assert two_step_pools(edge.converted()["int8"]) is edge.converted()["int8"]


def test_sums_that_overflow_half_precision_no_longer_do():
    images = edge.representative()
    before, after = measure(loud.one_step(), images), measure(two_step_pools(loud.one_step()), images)
    assert before.overflows and not before.finite
    assert not after.overflows and after.finite
    # A row has 32 of the 1,024 values; the brightest row is not much brighter than all.
    assert 1 / 32 <= after.largest_sum / before.largest_sum < 1.2 / 32


def test_a_file_that_is_not_a_model_is_an_error():
    with pytest.raises(ExportError, match="this is not a LiteRT model"):
        two_step_pools(b"no model")
