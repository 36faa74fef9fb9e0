"""Which model a candidate has to compete with."""

from __future__ import annotations

from tfx.types import standard_artifacts

from components.baseline import LastBlessedBeforeCandidate


def model(number: int) -> standard_artifacts.Model:
    artifact = standard_artifacts.Model()
    artifact.id = number
    return artifact


def blessing(of: int, blessed: int = 1) -> standard_artifacts.ModelBlessing:
    artifact = standard_artifacts.ModelBlessing()
    artifact.set_int_custom_property("current_model_id", of)
    artifact.set_int_custom_property("blessed", blessed)
    return artifact


def resolve(candidate: int, models: list[int], blessings: list[standard_artifacts.ModelBlessing]) -> tuple[list, list]:
    """Ids of the baseline, and of the models that its blessings are of."""
    inputs = {"candidate": [model(candidate)], "model": [model(n) for n in models], "model_blessing": blessings}
    found = LastBlessedBeforeCandidate().resolve_artifacts(None, inputs)
    assert [artifact.id for artifact in found["candidate"]] == [candidate]
    return (
        [artifact.id for artifact in found["model"]],
        [artifact.get_int_custom_property("current_model_id") for artifact in found["model_blessing"]],
    )


def test_the_first_model_has_no_baseline():
    assert resolve(5, [5], []) == ([], [])
    assert resolve(5, [], []) == ([], [])


def test_a_model_is_never_its_own_baseline():
    assert resolve(5, [5], [blessing(5)]) == ([], [])


def test_the_baseline_is_the_latest_blessed_model_before_the_candidate():
    assert resolve(9, [3, 7, 9, 5], [blessing(3), blessing(9), blessing(5), blessing(7)]) == ([7], [7])


def test_a_newer_model_is_no_baseline_of_a_cached_candidate():
    assert resolve(5, [3, 5, 9], [blessing(3), blessing(5), blessing(9)]) == ([3], [3])


def test_a_model_that_was_refused_or_not_judged_is_skipped():
    assert resolve(9, [3, 5, 7], [blessing(3), blessing(5, blessed=0)]) == ([3], [3])


def test_a_model_that_was_refused_and_later_blessed_counts_with_its_blessing():
    assert resolve(9, [5], [blessing(5, blessed=0), blessing(5)]) == ([5], [5])


def test_a_blessing_without_its_model_is_no_baseline():
    assert resolve(9, [3], [blessing(3, blessed=0), blessing(7)]) == ([], [])
