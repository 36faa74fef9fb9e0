"""The verdict on an edge variant, for made-up counts."""

from __future__ import annotations

import numpy as np
import pytest

from edgetune.modules.evaluation.gates import Gate, as_json, from_json
from edgetune.modules.evaluation.verdict import ClassifierCounts, Thresholds, overall, refusals, variant_gates

LENIENT = Thresholds(max_accuracy_drop=1.0, min_agreement=0.0)


def counted(variant: np.ndarray, server: np.ndarray, truth: np.ndarray) -> ClassifierCounts:
    """Return the counts of a variant's answers; all are class indices, int `[N]`."""
    names = [f"class {number:03}" for number in range(int(max(variant.max(), server.max(), truth.max())) + 1)]
    counts = ClassifierCounts(names)
    eye = np.eye(len(names), dtype=np.float32)
    counts.add(truth, eye[variant], eye[server])
    return counts


def correct(right: int, of: int = 100) -> ClassifierCounts:
    """Return the counts of a variant that is right on `right` images of one class; the SavedModel always is."""
    return counted((np.arange(of) >= right).astype(int), np.zeros(of, int), np.zeros(of, int))


def gate(counts: ClassifierCounts, name: str, thresholds: Thresholds = LENIENT) -> Gate:
    return next(each for each in variant_gates(counts, 1, thresholds, "int8") if each.name == f"edge.{name}")


@pytest.mark.parametrize(("right", "blessed"), [(100, True), (99, True), (98, False)])
def test_a_drop_is_allowed_up_to_the_bound_and_not_beyond(right, blessed):
    judged = gate(correct(right), "max_accuracy_drop", Thresholds(max_accuracy_drop=0.01))
    assert judged.passed is blessed and judged.low < judged.measured < judged.high
    assert judged.measured == pytest.approx(1 - right / 100) and judged.images == 100


@pytest.mark.parametrize(("right", "blessed"), [(97, True), (96, False)])
def test_agreement_is_sufficient_at_the_bound_and_not_below(right, blessed):
    judged = gate(correct(right), "min_agreement", Thresholds(min_agreement=0.97))
    assert judged.passed is blessed and judged.low < judged.measured < judged.high


@pytest.mark.parametrize(("size", "blessed"), [(1000, True), (1001, False)])
def test_a_size_is_allowed_up_to_the_bound_and_not_beyond(size, blessed):
    [judged] = variant_gates(ClassifierCounts(["a"]), size, Thresholds(max_bytes=1000), "int8")
    assert judged.passed is blessed and (judged.name, judged.measured) == ("edge.max_bytes", size)


@pytest.mark.parametrize(("latency", "blessed"), [(5.0, True), (5.01, False), (None, False)])
def test_a_time_is_allowed_up_to_the_bound_and_not_beyond_nor_unknown(latency, blessed):
    [judged] = variant_gates(ClassifierCounts(["a"]), 1, Thresholds(max_latency_ms=5.0), "int8", latency)
    assert judged.passed is blessed and (judged.name, judged.measured) == ("edge.max_latency_ms", latency)
    told = "–; edge.max_latency_ms allows at most 5 ms; it was not measured"
    if latency is not None:
        told = f"{latency:g} ms; edge.max_latency_ms allows at most 5 ms"
    assert judged.sentence() == f"median time for one image {told}"
    assert from_json(as_json([judged])) == [judged]
    assert variant_gates(ClassifierCounts(["a"]), 1, Thresholds(), "int8", latency) == []


def lost_class(of_class: int, before: int, after: int, others: int = 99) -> ClassifierCounts:
    """Return counts of 1 + `others` classes of `of_class` images; of the first, `after` are right, not `before`."""
    truth = np.repeat(np.arange(1 + others), of_class)
    server, variant = truth.copy(), truth.copy()
    server[before:of_class] = 1
    variant[after:of_class] = 1
    return counted(variant, server, truth)


def test_a_variant_that_loses_one_of_a_hundred_classes_is_refused_and_the_class_is_named():
    counts = lost_class(3, before=3, after=0)
    thresholds = Thresholds(max_accuracy_drop=0.01, min_agreement=0.97)
    assert gate(counts, "max_accuracy_drop", thresholds).passed and gate(counts, "min_agreement", thresholds).passed
    [reason] = refusals(counts, variant_gates(counts, 1, thresholds, "int8"))
    assert "edge.max_class_drop" in reason and "lost: class 000 (0 of 3 right answers left)" in reason


@pytest.mark.parametrize(
    ("of_class", "before", "after", "blessed"),
    [
        (3, 2, 0, True),  # two images are not enough to tell
        (3, 3, 1, True),
        (10, 3, 0, False),  # few of them were right, but all of these are lost
        (40, 40, 30, True),  # p = 2^-10, more than 5 % / 100
        (40, 40, 29, False),  # p = 2^-11, less than 5 % / 100
    ],
)
def test_a_class_is_lost_as_a_whole_or_significantly(of_class, before, after, blessed):
    assert gate(lost_class(of_class, before, after), "max_class_drop").passed is blessed


def test_a_significant_loss_within_the_bound_passes():
    counts = lost_class(400, 400, 370, others=1)
    assert gate(counts, "max_class_drop").passed
    assert gate(counts, "max_class_drop", Thresholds(max_class_drop=0.05)).passed is False


def test_the_bound_of_one_allows_everything():
    assert gate(lost_class(3, 3, 0), "max_class_drop", Thresholds(max_class_drop=1.0)).passed


def test_a_faithful_variant_is_seldom_refused_for_a_class():
    """Of a hundred classes with three images each, answers to three of a hundred images differ, right or wrong."""
    random, refused = np.random.default_rng(1), 0
    truth = np.repeat(np.arange(100), 3)
    for _ in range(300):
        server = np.where(random.random(300) < 0.9, truth, random.integers(0, 100, 300))
        variant = np.where(random.random(300) < 0.97, server, random.integers(0, 100, 300))
        refused += gate(counted(variant, server, truth), "max_class_drop").passed is False
    assert refused / 300 <= 0.01


def test_a_variant_that_was_not_measured_is_refused():
    assert refusals(ClassifierCounts(["a"]), []) == ["was not measured"]


def test_a_probability_that_is_not_finite_is_refused():
    variant = correct(100)
    variant.add(np.array([0]), np.float32([[np.nan, 0.0]]), np.float32([[1.0, 0.0]]))
    assert "gives probabilities that are not finite numbers" in refusals(variant, [])


def test_an_output_without_a_label_is_never_correct():
    short = ClassifierCounts(["a", "b"], own=["a"])
    short.add(np.array([1, 0]), np.float32([[0, 1], [1, 0]]), np.float32([[0, 1], [1, 0]]))
    assert short.metrics()["accuracy"] == 0.5
    assert ClassifierCounts(["a"], own=[]).metrics() == {
        "accuracy": None,
        "per_class": {"a": {"accuracy": None, "examples": 0}},
    }


def test_a_push_needs_all_required_variants_and_at_least_one_blessed():
    assert overall({"float32": [], "int8": ["bad"]}, ["float32"]) == []
    assert overall({"float32": [], "int8": ["bad"]}, ["int8"]) == ["required edge variant int8: bad"]
    assert overall({"int8": ["bad"]}, []) == ["edge variant int8: bad"]
    assert overall({}, []) == ["no edge variant was exported"]


def test_agreement_is_with_the_saved_model_and_not_with_the_labels():
    counts = counted(np.array([0, 1, 1, 0]), np.array([0, 1, 1, 1]), np.zeros(4, int))
    assert counts.metrics()["accuracy"] == 0.5 and counts.comparison()["agreement"] == 0.75


def test_images_that_only_the_variant_gets_right_make_up_for_lost_ones():
    truth, server, variant = np.zeros((3, 100), int)
    server[:3], variant[-4:] = 1, 1
    judged = gate(counted(variant, server, truth), "max_accuracy_drop", Thresholds(max_accuracy_drop=0.01))
    assert judged.measured == pytest.approx(0.01) and judged.passed


def test_the_largest_difference_is_that_over_all_batches():
    counts = ClassifierCounts(["a", "b"])
    for first in (0.9, 0.6, 0.8):
        counts.add(np.array([0]), np.float32([[first, 1 - first]]), np.float32([[1, 0]]))
    assert counts.comparison()["max_difference"] == pytest.approx(0.4)
