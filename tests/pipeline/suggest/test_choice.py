"""The choice among measured backbones, on plain numbers."""

from __future__ import annotations

import numpy as np
import pytest

from edgetune.pipeline.suggest.choice import Candidate, Limits, not_dominated, pick


def candidate(name: str, ms: float, size: int, right: int | None, of: int = 1000) -> Candidate:
    """Return a candidate that names the class of the first `right` images."""
    return Candidate(name, ms, size, None if right is None else np.arange(of) < right)


def test_a_candidate_is_dominated_by_one_that_is_as_good_in_all_and_better_in_one():
    candidates = [
        candidate("best", 9.0, 4_000_000, 900),
        candidate("as accurate, slower", 9.5, 4_000_000, 900),
        candidate("as accurate and fast, larger", 9.0, 4_000_001, 900),
        candidate("fast", 2.0, 5_000_000, 700),
        candidate("small", 9.5, 1_000_000, 600),
        candidate("less accurate than all", 9.5, 5_000_000, 500),
        candidate("not measured", 0.1, 1, None),
    ]
    assert not_dominated(candidates) == [True, False, False, True, True, False, False]


def test_equal_candidates_do_not_dominate_each_other():
    assert not_dominated([candidate("one", 1.0, 10, 5, 10), candidate("two", 1.0, 10, 5, 10)]) == [True, True]
    assert not_dominated([]) == []


def test_the_accuracy_is_a_share_with_wilsons_interval():
    one = candidate("one", 1.0, 10, 90, 100)
    assert one.accuracy == 0.9
    assert one.interval == pytest.approx((0.8256, 0.9448), abs=1e-4)  # Wilson 1927, of 90 of 100
    assert candidate("none", 1.0, 10, None).interval is None


def test_limits_are_inclusive_and_a_megabyte_is_a_million_bytes():
    limits = Limits(max_ms=5.0, max_mb=4.0)
    assert limits.beyond(candidate("at them", 5.0, 4_000_000, 1)) == ""
    assert limits.beyond(candidate("slow", 5.01, 4_000_000, 1)) == "5.01 ms > 5 ms"
    assert limits.beyond(candidate("both", 7.31, 4_600_000, 1)) == "7.31 ms > 5 ms, 4.6 MB > 4 MB"
    assert Limits().beyond(candidate("any", 1e6, 10**12, 1)) == ""


def test_the_most_accurate_is_picked_if_its_lead_is_not_chance():
    candidates = [candidate("fast", 1.0, 10, 700), candidate("best", 9.0, 90, 900), candidate("next", 5.0, 50, 800)]
    found = pick(candidates, Limits())
    assert found is not None and (found.row, found.reason) == (1, "it has the highest accuracy")


def test_a_tie_goes_to_the_faster_and_the_reason_has_the_interval_of_the_lead():
    # 903 and 900 of the same 1,000 images: (3 + .. ) / 1002, with an interval from below 0.
    candidates = [candidate("best", 9.0, 90, 903), candidate("fast", 1.0, 10, 900), candidate("worse", 0.5, 5, 800)]
    found = pick(candidates, Limits())
    assert found is not None and found.row == 1
    assert found.reason == (
        "best has the highest accuracy, 90.3%, but its lead of 0.30 points may be chance (95 % interval −0.09 to 0.69),"
        " and this one is the fastest of such"
    )


def test_the_same_lead_is_a_tie_on_few_images_and_none_on_many():
    assert pick([candidate("best", 9.0, 90, 92, 100), candidate("fast", 1.0, 10, 90, 100)], Limits()).row == 1
    assert pick([candidate("best", 9.0, 90, 9200, 10_000), candidate("fast", 1.0, 10, 9000, 10_000)], Limits()).row == 0


def test_of_equally_fast_ties_the_smaller_is_picked():
    found = pick([candidate("large", 1.0, 90, 900), candidate("small", 1.0, 10, 900)], Limits())
    assert found is not None and found.row == 1
    assert found.reason.startswith("large has the highest accuracy, 90.0%")


def test_only_what_is_within_the_limits_is_picked():
    candidates = [candidate("slow", 9.0, 10, 990), candidate("large", 1.0, 90, 980), candidate("fits", 4.0, 40, 900)]
    found = pick(candidates, Limits(max_ms=5.0, max_mb=0.00005))
    assert found is not None
    assert (found.row, found.reason) == (2, "it has the highest accuracy within the limits")
    assert pick(candidates, Limits(max_ms=0.5)) is None
    assert pick([candidate("not measured", 1.0, 10, None)], Limits()) is None
