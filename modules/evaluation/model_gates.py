"""Judge the SavedModel by its answers to the test images, and by those of earlier blessed models to the same images.

An earlier model is not run again: what it answered is kept (`modules.evaluation.answers`). The truth is today's label;
an image whose class the earlier model did not know counts as it answered, as wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edgetune.modules.evaluation.answers import Answers
from edgetune.modules.evaluation.gates import ESTIMATE, LOWER_BOUND, SAVED_MODEL, Gate
from edgetune.modules.evaluation.intervals import paired_difference, wilson
from edgetune.modules.evaluation.paired import ALPHA, worse_than_group
from edgetune.modules.evaluation.verdict import ROUNDING
from edgetune.modules.settings.run import EvaluationSettings

GROUPS = 3
"""Groups, by age, that the earlier models are divided into. One alone would hide a decline after a rise in its mean."""
_NAMED = 10
_SIZES = (50, 100, 150, 200, 300, 400, 500, 750, 1000, 1500, 2000, 3000, 5000, 10_000)
_MORE_IMAGES = "add images, or move a larger share of them to the test split (data.splits)"
_BETTER = "add images or train longer; the report shows what is confused with what"


@dataclass(frozen=True)
class Earlier:
    """What is known of earlier blessed models."""

    answers: Sequence[Answers] = ()
    """Of each, the oldest first."""
    skipped: Sequence[str] = ()
    """Why others are not compared with, one sentence each."""
    absence: str = "when it was evaluated, no other model had been blessed"
    """Why there are none, if there are none."""


@dataclass(frozen=True)
class _Joined:
    """Answers to the N images of the candidate by K earlier models, the oldest first."""

    correct: np.ndarray
    """bool `[N]`: of the candidate."""
    asked: np.ndarray
    """bool `[K, N]`."""
    right: np.ndarray
    """bool `[K, N]`."""


@dataclass(frozen=True)
class _Group:
    """Earlier models that the candidate is compared with as one."""

    correct: np.ndarray
    """bool `[M]`: of the candidate, on the images that at least one of the group was asked."""
    right: np.ndarray
    """int `[M]`: how many of the group are right."""
    asked: np.ndarray
    """int `[M]`: how many of the group were asked."""
    drop: float = field(init=False)
    """Accuracy that the candidate has less than the mean of the group."""
    interval: tuple[float, float] | None = field(init=False)
    p_value: float = field(init=False)

    def __post_init__(self) -> None:
        differences = self.right / self.asked - self.correct
        object.__setattr__(self, "drop", float(differences.mean()) if len(differences) else 0.0)
        object.__setattr__(self, "interval", paired_difference(differences))
        object.__setattr__(self, "p_value", worse_than_group(self.correct, self.right, self.asked))


def model_gates(
    answers: Answers, labels: Sequence[str], settings: EvaluationSettings, earlier: Earlier = Earlier()
) -> list[Gate]:
    """Judge the SavedModel.

    Args:
        answers: Its answers to all test images.
        labels: Its classes.
        settings: The thresholds.
        earlier: Answers of earlier blessed models.

    Returns:
        All gates, also those that were not applied. An image that occurs twice counts twice for the accuracy and once
        for the comparisons.
    """
    return [
        *_enough(answers, labels, settings),
        _accuracy(answers, settings),
        _class_accuracy(answers, settings),
        *_comparisons(answers, settings, earlier),
    ]


def _enough(answers: Answers, labels: Sequence[str], settings: EvaluationSettings) -> list[Gate]:
    total, needed = len(answers), settings.min_test_images
    each = {label: int((answers.label == label).sum()) for label in labels}
    fewest, floor = min(each.values(), default=0), settings.min_test_images_per_class
    short = [f"{label} ({count})" for label, count in each.items() if count < floor]
    return [
        Gate(
            name="evaluation.min_test_images",
            subject=SAVED_MODEL,
            what="images in the test split",
            measured=total,
            needed=needed,
            images=total,
            whole=True,
            passed=total >= needed,
            remedy="" if total >= needed else _MORE_IMAGES,
        ),
        Gate(
            name="evaluation.min_test_images_per_class",
            subject=SAVED_MODEL,
            what="fewest test images of a class",
            measured=fewest,
            needed=floor,
            images=total,
            whole=True,
            passed=not short,
            reason=f"too few of {_named(short)}" if short else "",
            remedy=_MORE_IMAGES if short else "",
        ),
    ]


def _accuracy(answers: Answers, settings: EvaluationSettings) -> Gate:
    return _share_gate(
        "evaluation.min_accuracy", "accuracy", int(answers.correct.sum()), len(answers), settings.min_accuracy, settings
    )


def _class_accuracy(answers: Answers, settings: EvaluationSettings) -> Gate:
    name, what, needed = "evaluation.min_class_accuracy", "accuracy on the weakest class", settings.min_class_accuracy
    if needed is None:
        return Gate(name, SAVED_MODEL, what, needed=None, passed=None, reason="it is not set")
    gates = {
        str(label): _share_gate(name, what, int(answers.correct[of].sum()), int(of.sum()), needed, settings)
        for label in np.unique(answers.label)
        for of in [answers.label == label]
    }
    if not gates:
        return Gate(name, SAVED_MODEL, what, needed=needed, passed=False, reason="there are no test images")
    failed = [f"{label} ({gate.value(gate.measured)})" for label, gate in gates.items() if not gate.passed]
    label, weakest = min(gates.items(), key=lambda item: _judged(item[1], settings))
    return dataclasses.replace(
        weakest, passed=not failed, reason=f"below it: {_named(failed)}" if failed else f"the weakest class is {label}"
    )


def _share_gate(name: str, what: str, right: int, total: int, needed: float, settings: EvaluationSettings) -> Gate:
    if not total:
        reason = "there are no test images"
        return Gate(name, SAVED_MODEL, what, needed=needed, passed=False, images=0, reason=reason, remedy=_MORE_IMAGES)
    low, high = wilson(right, total) or (0.0, 1.0)
    value = low if settings.gate_on == LOWER_BOUND else right / total
    passed = value >= needed - ROUNDING
    remedy = _remedy(name, right, total, needed, high)
    return Gate(
        name=name,
        subject=SAVED_MODEL,
        what=what,
        measured=right / total,
        low=low,
        high=high,
        needed=needed,
        images=total,
        judged=settings.gate_on if settings.gate_on == LOWER_BOUND else ESTIMATE,
        passed=passed,
        remedy="" if passed else remedy,
    )


def _remedy(name: str, right: int, total: int, needed: float, high: float) -> str:
    """Return what helps: more test images if they could show it, else a better model or a smaller demand."""
    share = right / total
    if share >= needed:
        enough = next((n for n in _SIZES if n > total and (wilson(round(share * n), n) or (0, 0))[0] >= needed), None)
        about = f": about {enough:,} of this accuracy would do" if enough else ""
        return f"{_MORE_IMAGES}{about}; or judge by the estimate with evaluation.gate_on: {ESTIMATE}"
    possible = f"the interval includes {needed:.1%}, so more test images may show it; " if high >= needed else ""
    return f"{possible}{_BETTER}; or lower {name}, if {share:.1%} is good enough"


def _comparisons(answers: Answers, settings: EvaluationSettings, earlier: Earlier) -> list[Gate]:
    """Compare with the last blessed model, and with those of the last months.

    The stated share of equally good models, 95 %, is that of both comparisons together: each gets half of `ALPHA`, and
    of the second, each group of models an equal part (Bonferroni). With a single earlier model there is one comparison,
    which gets all of it.
    """
    joined = _join(answers, earlier.answers)
    usable = [k for k in range(len(earlier.answers)) if joined.asked[k].sum() >= settings.min_test_images]
    skipped = list(earlier.skipped)
    if few := len(earlier.answers) - len(usable):
        common = f"fewer than {settings.min_test_images} test images in common"
        skipped.append(f"{few} earlier blessed model{' has' if few == 1 else 's have'} {common}")
    against = "accuracy lost against the last blessed model"
    pooled = f"accuracy lost against the blessed models of the last {settings.compare_days} days"
    if not usable:
        reason = "; ".join(skipped) or earlier.absence
        return [_unapplied(against, settings, reason), _unapplied(pooled, settings, reason)]
    alpha = ALPHA if len(usable) == 1 else ALPHA / 2
    last = _against(_group(joined, usable[-1:]), against, settings, alpha, "; ".join(skipped))
    if len(usable) == 1:
        reason = "there is only one, with which it is compared already"
        return [last, _unapplied(pooled, settings, reason)]
    parts = np.array_split(usable, min(GROUPS, len(usable)))
    ages = ("oldest", "middle", "latest") if len(parts) == GROUPS else ("older", "later")
    gates = []
    for part, age in zip(parts, ages, strict=True):
        reason = f"compared with the {age} {len(part)} of {len(usable)}"
        gates.append(_against(_group(joined, part.tolist()), pooled, settings, alpha / len(parts), reason))
    return [last, min(gates, key=lambda gate: (gate.passed is not False, gate.p_value, -(gate.measured or 0)))]


def _against(group: _Group, what: str, settings: EvaluationSettings, alpha: float, reason: str) -> Gate:
    low, high = group.interval or (None, None)
    is_worse = group.p_value <= alpha
    passed = not (is_worse and group.drop > settings.max_regression + ROUNDING)
    verdict = f"it counts as worse if p is at most {alpha:.2g}"
    return Gate(
        name="evaluation.max_regression",
        subject=SAVED_MODEL,
        what=what,
        measured=group.drop,
        low=low,
        high=high,
        needed=settings.max_regression,
        at_most=True,
        images=len(group.correct),
        p_value=group.p_value,
        passed=passed,
        reason="; ".join(part for part in (reason, verdict) if part),
        remedy="" if passed else f"{_BETTER}; if the loss is acceptable, raise evaluation.max_regression",
    )


def _unapplied(what: str, settings: EvaluationSettings, reason: str) -> Gate:
    needed = settings.max_regression
    return Gate("evaluation.max_regression", SAVED_MODEL, what, needed=needed, passed=None, at_most=True, reason=reason)


def _join(answers: Answers, earlier: Sequence[Answers]) -> _Joined:
    # Two files with the same pixels have the same answer.
    ids, first = np.unique(answers.image_id, return_index=True)
    truth = answers.label[first]
    asked = np.zeros([len(earlier), len(ids)], bool)
    right = np.zeros_like(asked)
    for row, other in enumerate(earlier):
        given = dict(zip(other.image_id, other.predicted, strict=True))
        found = [given.get(image_id) for image_id in ids]
        asked[row] = [answer is not None for answer in found]
        right[row] = [answer == label for answer, label in zip(found, truth, strict=True)]
    return _Joined(answers.correct[first], asked, right)


def _group(joined: _Joined, models: Sequence[int]) -> _Group:
    asked = joined.asked[models].sum(axis=0)
    common = asked > 0
    return _Group(joined.correct[common], joined.right[models].sum(axis=0)[common], asked[common])


def _judged(gate: Gate, settings: EvaluationSettings) -> float:
    return (gate.low if settings.gate_on == LOWER_BOUND else gate.measured) or 0.0


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
