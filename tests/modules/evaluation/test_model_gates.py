"""The verdict on the SavedModel, for answers made up so that each gate has a known result."""

from __future__ import annotations

import numpy as np
import pytest

from edgetune.modules.evaluation.answers import Answers
from edgetune.modules.evaluation.gates import Gate, blessed, refused
from edgetune.modules.evaluation.model_gates import Earlier, model_gates
from edgetune.modules.settings.run import EvaluationSettings

LABELS = ["ash", "beech"]
ENOUGH = EvaluationSettings(min_test_images=1, min_test_images_per_class=0)
REGRESSION = "evaluation.max_regression"


def answers(wrong=(), images=200, ids=None, labels=LABELS) -> Answers:
    """Return answers to images 0, 1, ..., whose classes alternate; those to the images in `wrong` are wrong."""
    numbers = np.arange(images) if ids is None else np.asarray(ids)
    truth = np.array([labels[n % 2] for n in numbers], object)
    given = np.array([labels[(n + (n in set(wrong))) % 2] for n in numbers], object)
    return Answers(np.array([f"{n:04}" for n in numbers], object), truth, given)


def judged(candidate: Answers, earlier=(), settings=ENOUGH, **more) -> dict[str, Gate]:
    """Return the gates by their names, the two comparisons as `last` and `window`."""
    gates = model_gates(candidate, LABELS, settings, Earlier(list(earlier), **more))
    *absolute, last, window = gates
    assert last.name == window.name == REGRESSION
    return {gate.name.removeprefix("evaluation."): gate for gate in absolute} | {"last": last, "window": window}


def test_two_classes_of_ten_photographs_are_not_blessed_on_two_test_images():
    gates = model_gates(answers(images=2), LABELS, EvaluationSettings())
    assert not blessed(gates)
    assert [gate.name for gate in refused(gates)] == [
        "evaluation.min_test_images",
        "evaluation.min_test_images_per_class",
    ]
    few, per_class = refused(gates)
    assert (few.measured, few.needed) == (2, 30) and "data.splits" in few.remedy
    assert per_class.reason == "too few of ash (1), beech (1)" and "data.splits" in per_class.remedy
    accuracy = next(gate for gate in gates if gate.name == "evaluation.min_accuracy")
    assert (accuracy.measured, accuracy.low) == (1.0, pytest.approx(0.342, abs=1e-3))


def test_thirty_images_and_three_of_each_class_are_enough():
    assert blessed(model_gates(answers(images=30), LABELS, EvaluationSettings()))
    assert not blessed(model_gates(answers(images=29), LABELS, EvaluationSettings()))
    lone = answers(images=60, ids=[*range(0, 58, 2), 1, 3])
    assert judged(lone, settings=EvaluationSettings())["min_test_images_per_class"].passed is False
    assert judged(answers(images=60, ids=[*range(0, 58, 2), 1, 3, 5]), settings=EvaluationSettings())[
        "min_test_images_per_class"
    ].passed


def test_a_class_without_a_test_image_is_named():
    gates = model_gates(answers(images=40), [*LABELS, "cedar"], EvaluationSettings())
    assert [gate.reason for gate in refused(gates)] == ["too few of cedar (0)"]


def test_accuracy_is_judged_by_its_estimate_or_by_the_lower_end_of_its_interval():
    candidate = answers(wrong=range(10))  # 95 %, Wilson 91.0 to 97.3
    estimate = judged(candidate, settings=ENOUGH.model_copy(update={"min_accuracy": 0.93}))["min_accuracy"]
    assert estimate.passed and (estimate.measured, estimate.needed) == (0.95, 0.93)
    strict = ENOUGH.model_copy(update={"min_accuracy": 0.93, "gate_on": "lower_bound"})
    lower = judged(candidate, settings=strict)["min_accuracy"]
    assert lower.passed is False and lower.low == pytest.approx(0.9105, abs=1e-3) and lower.judged == "lower_bound"
    assert judged(candidate, settings=strict.model_copy(update={"min_accuracy": 0.91}))["min_accuracy"].passed


def test_an_accuracy_of_exactly_the_bound_passes():
    settings = ENOUGH.model_copy(update={"min_accuracy": 0.8})
    assert judged(answers(wrong=range(40)), settings=settings)["min_accuracy"].passed
    assert judged(answers(wrong=range(41)), settings=settings)["min_accuracy"].passed is False


def test_no_test_images_fail_the_accuracy():
    settings = EvaluationSettings(min_accuracy=0.0, min_class_accuracy=0.0)
    gates = judged(answers(images=0), settings=settings)
    assert gates["min_accuracy"].passed is gates["min_class_accuracy"].passed is False


def test_a_weak_class_is_refused_and_named_if_there_is_a_floor():
    candidate = answers(wrong=range(0, 40, 2))  # 20 of the 100 of ash
    assert judged(candidate)["min_class_accuracy"].passed is None
    floor = ENOUGH.model_copy(update={"min_class_accuracy": 0.85})
    gate = judged(candidate, settings=floor)["min_class_accuracy"]
    assert gate.passed is False and gate.reason == "below it: ash (80 %)" and gate.images == 100
    assert judged(candidate, settings=ENOUGH.model_copy(update={"min_class_accuracy": 0.8}))[
        "min_class_accuracy"
    ].passed


def test_the_gate_of_the_classes_shows_the_weakest_one_also_if_it_passes():
    floor = ENOUGH.model_copy(update={"min_class_accuracy": 0.5})
    gate = judged(answers(wrong=[0, 2, 4, 1]), settings=floor)["min_class_accuracy"]
    assert (gate.passed, gate.measured, gate.reason) == (True, 0.97, "the weakest class is ash")


# --- against earlier models


def test_the_first_model_is_compared_with_none():
    gates = judged(answers())
    assert gates["last"].passed is gates["window"].passed is None
    assert gates["last"].reason == "when it was evaluated, no other model had been blessed"


def test_four_lost_images_are_no_proof_and_five_are():
    assert judged(answers(wrong=range(4)), [answers()])["last"].passed
    gate = judged(answers(wrong=range(5)), [answers()])["last"]
    assert gate.passed is False and gate.p_value == pytest.approx(1 / 32)
    assert gate.measured == pytest.approx(0.025) and gate.low < 0.025 < gate.high and gate.remedy


def test_a_significant_loss_within_max_regression_passes():
    settings = ENOUGH.model_copy(update={"max_regression": 0.025})
    assert judged(answers(wrong=range(5)), [answers()], settings)["last"].passed
    assert judged(answers(wrong=range(6)), [answers()], settings)["last"].passed is False


def test_a_single_earlier_model_is_compared_with_once_and_several_share_the_error():
    alone = judged(answers(wrong=range(5)), [answers()])
    assert alone["window"].passed is None and alone["last"].passed is False
    several = judged(answers(wrong=range(5)), [answers(), answers()])
    assert several["last"].passed, "half of 5 % for each comparison: five losses are no proof"


def test_a_slow_decline_is_refused_although_no_step_is_significant():
    nights = [answers(wrong=range(2 * night)) for night in range(6)]
    verdicts = [judged(nights[n], nights[:n]) for n in range(1, 6)]
    assert all(verdict["last"].passed for verdict in verdicts)
    assert [verdict["window"].passed for verdict in verdicts][:2] == [None, True]
    assert verdicts[-1]["window"].passed is False and "the oldest" in verdicts[-1]["window"].reason


def test_a_decline_after_a_rise_is_found_against_the_best_and_not_the_mean():
    rising = [answers(wrong=range(40 - 4 * night)) for night in range(9)]
    best = [answers(wrong=range(4))] * 4
    verdict = judged(answers(wrong=range(16)), [*rising, *best])
    assert verdict["window"].passed is False and "compared with the latest" in verdict["window"].reason


def test_only_images_that_both_saw_are_compared():
    older = answers(ids=range(100, 300))
    gate = judged(answers(wrong=range(100, 110)), [older])["last"]
    assert gate.images == 100 and gate.measured == pytest.approx(0.1)


def test_the_truth_is_todays_label_and_an_unknown_class_counts_as_answered():
    relabelled = Answers(*(getattr(answers(), name) for name in ("image_id", "label")), answers(wrong=range(200)).label)
    assert judged(answers(), [relabelled])["last"].measured == 0.0
    other = answers(labels=["ash", "oak"])
    assert judged(answers(), [other])["last"].measured == -0.5


def test_too_few_images_in_common_are_not_compared_and_said():
    settings = EvaluationSettings()
    gates = judged(answers(), [answers(ids=range(180, 300))], settings)
    assert gates["last"].passed is None
    assert gates["last"].reason == "1 earlier blessed model has fewer than 30 test images in common"
    both = judged(answers(), [answers(), answers(ids=range(180, 300))], settings)
    assert both["last"].passed and "fewer than 30" in both["last"].reason, "the last that can be compared with"


def test_an_evaluation_that_cannot_be_read_is_said():
    skipped = ["an earlier blessed model is not compared with: /gone: has no answers"]
    assert judged(answers(), skipped=skipped)["last"].reason == skipped[0]
    assert skipped[0] in judged(answers(), [answers()], skipped=skipped)["last"].reason


def test_two_files_with_the_same_pixels_are_compared_once():
    twice = answers(wrong=[0], ids=[0, *range(100)])
    gate = judged(twice, [answers()])["last"]
    assert gate.images == 100 and gate.measured == pytest.approx(0.01)
    assert judged(twice)["min_test_images"].measured == 101


@pytest.mark.parametrize(
    ("wrong", "settings", "remedies"),
    [
        (
            5,
            {"min_accuracy": 0.92, "gate_on": "lower_bound"},
            ["about 400 of this accuracy would", "gate_on: estimate"],
        ),
        (5, {"min_accuracy": 0.97}, ["interval includes 97.0%", "or lower evaluation.min_accuracy, if 95.0% is good"]),
        (40, {"min_accuracy": 0.9}, ["add images or train longer", "lower evaluation.min_accuracy, if 60.0% is good"]),
    ],
)
def test_the_remedy_for_an_accuracy_is_more_test_images_only_if_they_can_help(wrong, settings, remedies):
    chosen = EvaluationSettings(min_test_images=1, min_test_images_per_class=0, **settings)
    gate = judged(answers(range(wrong), images=100), settings=chosen)["min_accuracy"]
    assert gate.passed is False
    assert all(remedy in gate.remedy for remedy in remedies), gate.remedy
    assert ("interval includes" in gate.remedy) == (wrong == 5 and "gate_on" not in settings)
