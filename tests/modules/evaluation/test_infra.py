"""The verdict on how a SavedModel serves, for made-up results of the process that was asked."""

from __future__ import annotations

import pytest

from edgetune.modules.evaluation.gates import Gate, blessed
from edgetune.modules.evaluation.infra import Chosen, gates
from edgetune.modules.serving.infra_check import Result
from edgetune.modules.serving.infra_probe import TOLERANCE, Findings, Image
from edgetune.modules.settings.run import InfraSettings

SETTINGS = InfraSettings(max_seconds=100, max_memory_mb=10)
CHOSEN = Chosen([Image("1.png", "red", [1.0, 0.0], "0.example")])


def judged(seconds: float = 9.0, peak: int = 1 << 20, **found: object) -> list[Gate]:
    findings = Findings("done", compared=1, **{"difference": 0.0, **found})
    return gates(Result(findings, seconds, peak), CHOSEN, SETTINGS)


def test_a_model_that_serves_what_was_measured_is_blessed():
    assert blessed(judged())


@pytest.mark.parametrize(("difference", "passed"), [(TOLERANCE, True), (1.01 * TOLERANCE, False)])
def test_a_difference_is_allowed_up_to_the_tolerance(difference, passed):
    assert blessed(judged(difference=difference)) is passed


def test_a_single_problem_refuses_the_model():
    served, *_ = judged(problems=["edge: has no probabilities"])
    assert served.passed is False and served.measured == 1 and not blessed(judged(problems=["edge"]))


def test_a_model_of_which_nothing_was_compared_is_refused():
    _, compared, *_ = judged(difference=None)
    assert compared.passed is False and not blessed(judged(difference=None))


@pytest.mark.parametrize(
    ("seconds", "peak", "passed"), [(100, 10 << 20, True), (100.1, 0, False), (9, (10 << 20) + 1, False)]
)
def test_bounds_are_reached_only_beyond_them(seconds, peak, passed):
    assert blessed(judged(seconds, peak)) is passed
