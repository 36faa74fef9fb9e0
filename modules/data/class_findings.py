"""Findings about classes: too few images, or far fewer than another has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from edgetune.modules.core.wording import counted
from edgetune.modules.data.findings import MOST_FILES, Finding

_EXAMPLES = 3


def small_classes(splits: Mapping[str, Mapping[str, int]], smallest: int) -> list[Finding]:
    """Report classes with fewer than `smallest` images over all splits.

    Args:
        splits: Number of images by split and class.
        smallest: `data.min_examples_per_class`.
    """
    return [
        Finding(
            "small_class",
            f"the class {name} has {counted(count, 'usable image')}, fewer than data.min_examples_per_class {smallest}",
            "add images, remove the class, or lower data.min_examples_per_class",
            subject=name,
        )
        for name, count in sorted(_totals(splits).items())
        if count < smallest
    ]


def imbalance(splits: Mapping[str, Mapping[str, int]], max_ratio: float) -> list[Finding]:
    """Report if the largest class has more than `max_ratio` times as many images as the smallest.

    Args:
        splits: Number of images by split and class.
        max_ratio: `data.max_imbalance`.
    """
    totals = _totals(splits)
    if not totals:
        return []
    large, small = max(totals, key=lambda name: totals[name]), min(totals, key=lambda name: totals[name])
    if totals[large] <= max_ratio * totals[small]:
        return []
    cause = (
        f"the class {large} has {counted(totals[large], 'image')} and {small} has {totals[small]}: "
        f"a ratio of {totals[large] / totals[small]:.1f}, more than data.max_imbalance {max_ratio:g}"
    )
    return [Finding("imbalance", cause, f"add images of {small}, or raise data.max_imbalance", subject=small)]


def with_files(found: Iterable[Finding], by_class: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Add files of the class to findings about classes.

    Args:
        found: Findings with a class as subject.
        by_class: The first files of each class.
    """
    named = []
    for finding in found:
        files = tuple(by_class.get(finding.subject, ()))[:MOST_FILES]
        cause = f"{finding.cause}, such as {', '.join(files[:_EXAMPLES])}" if files else finding.cause
        named.append(replace(finding, cause=cause, files=files))
    return named


def _totals(splits: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for counts in splits.values():
        totals.update(counts)
    return totals
