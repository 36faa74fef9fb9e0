"""Findings: what is wrong with a dataset although its files are readable. Each names its files and a remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edgetune.modules.core.errors import DataError

_NAMED = 10
_EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """One thing that should stop a run."""

    name: str
    """What kind of thing, one of `NAMES`."""
    cause: str
    """One sentence."""
    remedy: str
    """One sentence."""
    files: tuple[str, ...] = field(default=())
    """Files of the data that it is about, relative to the data's folder."""
    subject: str = ""
    """The class or the feature that it is about."""


class FindingsError(DataError):
    """The data has findings that nobody let pass.

    Args:
        found: All of them, at least one.
    """

    exit_code = DataError.exit_code

    def __init__(self, found: Sequence[Finding]) -> None:
        remedy = found[0].remedy if len(found) == 1 else "each is named with its remedy"
        super().__init__(_sentence(found), f"{remedy}; --allow {_narrowest(found[0])} lets it pass")
        self.found = tuple(found)


@dataclass(frozen=True)
class Copy:
    """Where an image stands of which the data has more than one."""

    split: str
    label: str
    source: str
    image_id: str = ""
    """Digest of its pixels."""


def is_allowed(finding: Finding, allowed: Iterable[str]) -> bool:
    """Whether someone let a finding pass.

    Args:
        finding: It.
        allowed: Names of findings, each alone or with a file, class or feature: `two_labels:cats/1.jpg`.
    """
    about = {finding.subject, *finding.files} - {""}
    return any(
        name == finding.name and (not what or what in about)
        for name, _, what in (entry.partition(":") for entry in allowed)
    )


def small_classes(splits: Mapping[str, Mapping[str, int]], smallest: int) -> list[Finding]:
    """Classes with fewer than `smallest` images over all splits.

    Args:
        splits: Images by class by split.
        smallest: `data.min_examples_per_class`.
    """
    return [
        Finding(
            "small_class",
            f"the class {name} has {count} usable images, fewer than data.min_examples_per_class {smallest}",
            "add images, remove the class, or lower data.min_examples_per_class",
            subject=name,
        )
        for name, count in sorted(_totals(splits).items())
        if count < smallest
    ]


def imbalance(splits: Mapping[str, Mapping[str, int]], most: float) -> list[Finding]:
    """The largest class, if it has more than `most` times as many images as the smallest.

    Args:
        splits: Images by class by split.
        most: `data.max_imbalance`.
    """
    totals = _totals(splits)
    if not totals:
        return []
    large, small = max(totals, key=lambda name: totals[name]), min(totals, key=lambda name: totals[name])
    if totals[large] <= most * totals[small]:
        return []
    cause = (
        f"the class {large} has {totals[large]} images and {small} has {totals[small]}: "
        f"{totals[large] / totals[small]:.1f} for each, more than data.max_imbalance {most:g}"
    )
    return [Finding("imbalance", cause, f"add images of {small}, or raise data.max_imbalance", subject=small)]


def with_files(found: Iterable[Finding], by_class: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Findings about a class, each with files of it.

    Args:
        found: Whose subjects are classes.
        by_class: The first files of each class.
    """
    named = []
    for finding in found:
        files = tuple(by_class.get(finding.subject, ()))[:_NAMED]
        cause = f"{finding.cause}, such as {', '.join(files[:_EXAMPLES])}" if files else finding.cause
        named.append(replace(finding, cause=cause, files=files))
    return named


def small_images(count: int, first: Sequence[str], smallest: int) -> list[Finding]:
    """Images with a side of fewer pixels than the bound.

    Args:
        count: How many there are.
        first: Some of them.
        smallest: `data.min_side`.
    """
    if not count:
        return []
    named = ", ".join(first[:_NAMED]) + (", ..." if count > _NAMED else "")
    cause = f"{count} images have a side of fewer than data.min_side {smallest} pixels: {named}"
    return [Finding("small_images", cause, "replace or remove them, or lower data.min_side", tuple(first[:_NAMED]))]


def drift(feature: str, measure: str, value: float, bound: float, key: str) -> Finding:
    """A feature that is not distributed as it was.

    Args:
        feature: Its name.
        measure: How the distance was measured.
        value: The distance.
        bound: The largest that is allowed.
        key: The setting that holds the bound.
    """
    cause = (
        f"{feature} is not distributed as in the data of the last blessed model: "
        f"{measure} {value:.3f}, more than {key} {bound:g}"
    )
    return Finding("drift", cause, f"look at what was added or removed; if it is meant, raise {key}", subject=feature)


def anomalies(split: str, described: Mapping[str, str]) -> list[Finding]:
    """What ExampleValidator found in a split: a description by feature."""
    return [
        Finding(
            "anomaly",
            f"{feature or 'the examples'} in the split {split}: {description}",
            "the examples are not what schemas/examples.pbtxt says; repair the data that they were read from",
            subject=feature,
        )
        for feature, description in sorted(described.items())
    ]


def same_images(copies: Iterable[Copy], one_only: bool = False) -> list[Finding]:
    """What is wrong with images that are the same, or nearly so: different labels, or different splits.

    Args:
        copies: All places of one group of near-duplicates.
        one_only: Whether more than one place is wrong in itself.

    Returns:
        Nothing where all copies have the same label and are in the same split.
    """
    places = sorted(copies, key=lambda copy: (copy.label, copy.split, copy.source))
    labels, splits = sorted({c.label for c in places}), sorted({c.split for c in places})
    what = "the same image" if len({c.image_id for c in places}) == 1 else "nearly the same image"
    files = _representative(places)
    named = ", ".join(files) + (f", and {len(places) - len(files)} more" if len(places) > len(files) else "")
    found = []
    if len(labels) > 1:
        cause = f"{what} stands under the labels {' and '.join(labels)}: {named}"
        found.append(Finding("two_labels", cause, "keep it under the label that is right, remove the others", files))
    if len(splits) > 1:
        cause = f"{what} is in the splits {' and '.join(splits)}: {named}"
        found.append(Finding("leakage", cause, "keep it in one split: what was trained on measures nothing", files))
    if one_only and len(places) > 1 and not found:
        remedy = "keep one of them, or set data.on_duplicates to group or drop"
        found.append(Finding("duplicates", f"{what} is there {len(places)} times: {named}", remedy, files))
    return found


def _representative(places: Sequence[Copy]) -> tuple[str, ...]:
    """Some of the places, but of each label and split the first."""
    first = {(copy.label, copy.split): copy.source for copy in reversed(places)}
    rest = [copy.source for copy in places if copy.source not in first.values()]
    return tuple([*reversed(first.values()), *rest][:_NAMED])


def _totals(splits: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for counts in splits.values():
        totals.update(counts)
    return totals


def _narrowest(finding: Finding) -> str:
    what = finding.subject or next(iter(finding.files), "")
    return f"'{finding.name}:{what}'" if what else finding.name


def _sentence(found: Sequence[Finding]) -> str:
    if len(found) == 1:
        return found[0].cause
    named = "".join(f"\n    {finding.cause}; {finding.remedy}" for finding in found[:_NAMED])
    more = f"\n    and {len(found) - _NAMED} more, see the report" if len(found) > _NAMED else ""
    return f"the data has {len(found)} findings:{named}{more}"


class UnusableFiles(DataError):
    """The data cannot be trained on, and files were rejected.

    Args:
        cause: What is wrong.
        remedy: What to do about it.
        ingest: Content of `ingest.json`: TFX removes what a component that fails wrote, and a report wants to show it.
        rows: `path` and `reason` of the first rejected files, as in `rejected.csv`.
    """

    exit_code = DataError.exit_code

    def __init__(self, cause: str, remedy: str, ingest: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> None:
        super().__init__(cause, remedy)
        self.ingest, self.rows = dict(ingest), [dict(row) for row in rows]
