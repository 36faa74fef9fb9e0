"""Gates: their sentences, their file, and a verdict that fails closed."""

from __future__ import annotations

import json

import pytest

from edgetune.modules.core.errors import DataError
from edgetune.modules.evaluation.gates import FILE, Gate, as_json, blessed, file_of, from_json, read_gates, refused

PASSED = Gate(
    "evaluation.min_accuracy", "SavedModel", "accuracy", needed=0.9, passed=True, measured=0.978, low=0.944, high=0.991,
    images=179,
)  # fmt: skip
FAILED = Gate(
    "evaluation.max_regression", "SavedModel", "accuracy lost", needed=0.0, passed=False, measured=0.03, low=0.01,
    high=0.05, images=200, p_value=0.00412, at_most=True, reason="the last of 3", remedy="train longer",
)  # fmt: skip
OPEN = Gate("evaluation.min_class_accuracy", "SavedModel", "weakest class", needed=None, passed=None, reason="not set")
FEW = Gate("evaluation.min_test_images", "SavedModel", "images", needed=30, passed=False, measured=2, whole=True)


def test_a_sentence_has_what_was_measured_and_needed():
    assert PASSED.sentence() == (
        "accuracy 97.8 % (95 % interval 94.4 to 99.1) on 179 images; evaluation.min_accuracy needs 90 %"
    )
    assert FAILED.sentence() == (
        "accuracy lost 3 % (95 % interval 1 to 5) on 200 images, p = 0.0041; "
        "evaluation.max_regression allows at most 0 %; the last of 3"
    )
    assert FEW.sentence() == "images 2; evaluation.min_test_images needs 30"
    lower = Gate("x", "SavedModel", "accuracy", needed=0.9, passed=False, measured=1.0, judged="lower_bound", images=1)
    assert lower.sentence() == "accuracy 100 % on 1 image; x needs 90 % by the lower end of the interval"


def test_only_exactly_all_is_100_percent():
    assert PASSED.value(0.99996) == "99.996 %" and PASSED.value(1.0) == "100 %" and PASSED.value(-0.00001) == "-0.001 %"


@pytest.mark.parametrize(
    ("gates", "verdict"),
    [([], False), ([OPEN], False), ([PASSED], True), ([PASSED, OPEN], True), ([PASSED, FAILED], False)],
)
def test_a_blessing_needs_a_passed_gate_and_no_failed_one(gates, verdict):
    assert blessed(gates) is verdict
    assert refused(gates) == [gate for gate in gates if gate is FAILED]


def test_gates_are_read_as_they_were_written(tmp_path):
    gates = [PASSED, FAILED, OPEN, FEW]
    (tmp_path / FILE).write_text(file_of(gates))
    assert read_gates(str(tmp_path)) == gates
    assert json.loads((tmp_path / FILE).read_text())["blessed"] is False
    assert from_json(json.loads(json.dumps(as_json(gates)))) == gates
    assert "remedy" not in as_json(gates)[0] and as_json(gates)[2]["passed"] is None


@pytest.mark.parametrize(
    "content",
    [None, "", "{}", "[]", '{"gates": []}', '{"gates": [{"name": "x"}]}', '{"gates": {"a": 1}}'],
)
def test_missing_or_damaged_gates_are_an_error(tmp_path, content):
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(DataError, match="gates.json"):
        read_gates(str(tmp_path))


def test_a_verdict_that_is_not_a_truth_value_is_an_error():
    with pytest.raises(ValueError, match="passed"):
        from_json([{**as_json([FAILED])[0], "passed": "no"}])
