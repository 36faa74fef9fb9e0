"""What a soak takes for wrong: each judgement on a night, and on all of them, that must not pass."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.lib.nights import BROKEN, LABELS, MISSING, Night, lost_by_gc, over_all, wrong_end, wrong_night

SAID = "version 9 of both models is served, before it 8"
REFUSAL = "not blessed: accuracy 25 % on 16 images; evaluation.min_accuracy needs 70 %"
GOOD = Night(3, 102, "", code=0, served=9, released=True, data="d", served_data="d")
LAST = Night(3, 102, "", code=7, served=8, data="d", served_data="c")


def judged(night: Night, said: str, **changed) -> str:
    return "; ".join(wrong_night(dataclasses.replace(night, wrong=[], **changed), said))


def test_a_night_that_ends_as_it_should_is_not_wrong():
    assert judged(GOOD, SAID) == judged(LAST, REFUSAL) == ""
    assert judged(GOOD, SAID, released=False, repeated=True) == "", (
        "its models were released before the soak was killed"
    )
    for bad, code in ((LABELS, 7), (LABELS, 5), (BROKEN, 3), (MISSING, 3)):
        assert judged(LAST, REFUSAL, bad=bad, code=code) == ""


@pytest.mark.parametrize(
    ("night", "said", "changed", "why"),
    [
        (GOOD, SAID, {"released": False}, "released nothing"),
        (GOOD, SAID, {"served_data": "c"}, "is not of this night's images"),
        (GOOD, SAID, {"data": "", "served_data": ""}, "is not of this night's images"),
        (GOOD, "done", {}, "does not say which version"),
        (GOOD, REFUSAL, {"code": 7}, "it ended with 7 and released 9"),
        (LAST, "no words", {}, "does not name a gate"),
        (LAST, "cause", {"code": 12}, "a good night ended with 12: cause"),
        (LAST, REFUSAL, {"bad": BROKEN, "code": 7}, "a bad night (broken) ended with 7"),
        (LAST, SAID, {"bad": LABELS, "code": 12}, "a bad night (labels) ended with 12"),
        (GOOD, SAID, {"bad": MISSING}, "a bad night was released as 9"),
        (LAST, "edgetune: a defect, please report it: KeyError: 1", {"bad": LABELS, "code": 1}, "a defect of edgetune"),
    ],
)
def test_a_night_that_ends_otherwise_is_wrong(night, said, changed, why):
    assert why in judged(night, said, **changed)


def test_the_gate_that_refused_is_noted():
    night = dataclasses.replace(LAST)
    assert wrong_night(night, f"report  index.html\n{REFUSAL}\n") == [] and night.gate == "evaluation.min_accuracy"


@pytest.mark.parametrize(
    ("kill", "bad", "code", "right"),
    [
        ("KILL", "", -9, True),
        ("TERM", "", 143, True),
        ("TERM", BROKEN, 3, True),  # it ended before it came to that component
        ("INT", "", 7, True),
        ("TERM", "", -9, False),
        ("INT", "", 0, False),
        ("TERM", BROKEN, 12, False),
        ("KILL", MISSING, 1, False),
    ],
)
def test_a_run_that_was_to_be_killed_ends_by_that_or_before_it_as_it_may(kill, bad, code, right):
    assert (wrong_end(kill, bad, code) == "") == right


def test_gc_keeps_the_last_versions():
    assert lost_by_gc([1, 2, 3, 4], [3, 4], keep=2) == []
    assert lost_by_gc([1, 2, 3, 4], [4], keep=2) == ["gc removed version 3"]


def steady(number: int, **changed) -> Night:
    values = {"processor": 90.0, "seconds": 200.0, "megabytes": 100.0, "collected": number % 7 == 0}
    values |= {"killed": "KILL" if number == 4 else ""}
    return dataclasses.replace(GOOD, number=number, wrong=[], **(values | changed))


def test_nights_that_stay_as_they_were_are_not_wrong():
    assert over_all([steady(number) for number in range(1, 29)]) == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (lambda number: {"processor": 80 + 2.0 * number}, "slower (processor)"),
        (lambda number: {"seconds": 180 + 10.0 * number}, "slower (seconds)"),
        (lambda number: {"megabytes": 100 + 2.0 * number}, "grows by 2.0 MB a night"),
        # Also if the last is smaller.
        (lambda number: {"megabytes": {7: 100.0, 14: 150.0, 21: 200.0}.get(number, 140.0)}, "the workdir grows"),
        (lambda number: {"killed": ""}, "none of 28 nights was killed"),
        (lambda number: {"released": False}, "nothing was ever released"),
        (lambda number: {"code": 7, "gate": "evaluation.x"} if number % 4 == 0 else {}, "7 of 28 good nights were ref"),
    ],
)
def test_what_changes_over_the_nights_is_wrong(changed, why):
    assert why in "; ".join(over_all([steady(number, **changed(number)) for number in range(1, 29)]))
