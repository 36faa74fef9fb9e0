"""Choose among measured backbones: what is not dominated, what is within the limits, and the pick with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgetune.modules.evaluation.intervals import paired_difference, wilson
from edgetune.pipeline.report.words import milliseconds, percent, points, size

MB = 1_000_000
"""Bytes in a megabyte of `--max-mb`, as app stores count."""


@dataclass(frozen=True)
class Candidate:
    """What was measured of a backbone."""

    name: str
    ms: float
    """Median latency of one image, in milliseconds."""
    bytes: int
    """Of the converted network."""
    correct: np.ndarray | None = None
    """bool `[N]`: whether a head that has not seen the image names its class, for the same N images of every candidate;
    None if it was not measured."""

    @property
    def accuracy(self) -> float | None:
        """Share of the images whose class is named."""
        return None if self.correct is None else float(self.correct.mean())

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the accuracy, Wilson's."""
        return None if self.correct is None else wilson(int(self.correct.sum()), len(self.correct))


@dataclass(frozen=True)
class Limits:
    """What the converted network may take; None for no limit."""

    max_ms: float | None = None
    """Median latency of one image, in milliseconds."""
    max_mb: float | None = None
    """Size of the file, in millions of bytes."""

    def beyond(self, candidate: Candidate) -> str:
        """Return what a candidate exceeds, such as `7.31 ms > 5 ms`; empty if it is within the limits."""
        found = []
        if self.max_ms is not None and candidate.ms > self.max_ms:
            found.append(f"{milliseconds(candidate.ms)} > {self.max_ms:g} ms")
        if self.max_mb is not None and candidate.bytes > self.max_mb * MB:
            found.append(f"{size(candidate.bytes)} > {self.max_mb:g} MB")
        return ", ".join(found)


@dataclass(frozen=True)
class Pick:
    """The chosen candidate."""

    row: int
    reason: str
    """One sentence."""


def not_dominated(candidates: Sequence[Candidate]) -> list[bool]:
    """Return for each candidate whether no other is at least as good in accuracy, latency and size, and better in one.

    A candidate without an accuracy is never part of the answer.
    """
    values = [(-(c.accuracy or 0.0), c.ms, c.bytes) if c.correct is not None else None for c in candidates]
    return [
        own is not None
        and not any(
            other is not None and other != own and all(o <= v for o, v in zip(other, own, strict=True))
            for other in values
        )
        for own in values
    ]


def pick(candidates: Sequence[Candidate], limits: Limits) -> Pick | None:
    """Return the fastest of the candidates within the limits that are not worse than the most accurate of them.

    A candidate is worse if the 95 % interval of the paired difference of accuracies does not contain 0: all candidates
    answered the same images, so this sees more than a comparison of their own intervals. Of equally fast ones, the
    smaller is taken.

    Returns:
        None if no candidate with an accuracy is within the limits.
    """
    rows = [row for row, c in enumerate(candidates) if c.correct is not None and not limits.beyond(c)]
    if not rows:
        return None
    best = max(rows, key=lambda row: (candidates[row].accuracy, -candidates[row].ms))
    tied = {row: _lead(candidates[best], candidates[row]) for row in rows}
    equal = [row for row, (low, _) in tied.items() if row == best or low <= 0]
    chosen = min(equal, key=lambda row: (candidates[row].ms, candidates[row].bytes))
    what = "the highest accuracy" if limits == Limits() else "the highest accuracy within the limits"
    if chosen == best:
        ties = len(equal) - 1
        also = f", and the fastest of {ties + 1} that do not differ from it by more than chance" if ties else ""
        return Pick(chosen, f"it has {what}{also}")
    low, high = tied[chosen]
    lead = points((candidates[best].accuracy or 0.0) - (candidates[chosen].accuracy or 0.0))
    return Pick(
        chosen,
        f"{candidates[best].name} has {what}, {percent(candidates[best].accuracy)}, but its lead of {lead} points may "
        f"be chance (95 % interval {points(low)} to {points(high)}), and this one is the fastest of such",
    )


def _lead(best: Candidate, other: Candidate) -> tuple[float, float]:
    """Return the 95 % interval of how much more accurate one candidate is than another."""
    assert best.correct is not None and other.correct is not None
    found = paired_difference(best.correct.astype(float) - other.correct.astype(float))
    assert found is not None
    return found
