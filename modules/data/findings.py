"""Findings: problems of a dataset whose files are readable, such as leakage. Each names its files and a remedy."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edgetune.modules.core.errors import DataError
from edgetune.modules.core.wording import counted

_LOST = "statistics"
NOTED = "near_duplicates"
"""Name of what DatasetGate notes, and what never stops a run."""
_OF_COPIES = ("two_labels", "leakage", "duplicates")
"""Findings about the copies of one picture, or one group: each of their files says which. The files of all others
without a subject are a list, and one of them does not stand for all."""
_MAX_FILES = 10
_EXAMPLES = 3


@dataclass(frozen=True)
class Picture:
    """An image that a finding is about, as the report shows it."""

    file: str
    """Relative to the data's folder."""
    jpeg: str = ""
    """A thumbnail: JPEG in Base64; empty if there is none."""
    given: str = ""
    """Class that it is labelled with."""
    looks_like: str = ""
    """Class that it looks like, if the finding is about labels."""
    score: float | None = None
    """By which the finding is ordered; its `cause` says what it is."""
    group: int = 0
    """Number of the group of images that look alike, from 1; 0 if it is of none."""


@dataclass(frozen=True)
class Finding:
    """One problem, which stops a run unless it only informs or is allowed."""

    name: str
    """Kind of finding, one of `modules.settings.data.FINDINGS`."""
    cause: str
    """One sentence."""
    remedy: str
    """One sentence."""
    files: tuple[str, ...] = field(default=())
    """Affected files, relative to the data's folder."""
    subject: str = ""
    """Affected class or feature."""
    informs: bool = False
    """Whether it only informs: it is in the report, and does not stop a run."""
    pictures: tuple[Picture, ...] = field(default=())
    """The first of the affected images, with thumbnails."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Finding:
        """Return the finding of which `values` are `dataclasses.asdict`, as JSON has them."""
        pictures = tuple(Picture(**picture) for picture in values["pictures"])
        return cls(**{**values, "files": tuple(values["files"]), "pictures": pictures})


class FindingsError(DataError):
    """The data has findings that are not allowed.

    Args:
        found: All such findings, at least one.
        allowed: `data.allow`, which `--allow` replaces.
        others: Findings of the same component that do not stop the run, for the report: TFX removes the outputs of a
            component that fails.
        beside: Words that follow the options, if `allowed` is only a part of `data.allow`.
    """

    exit_code = DataError.exit_code

    def __init__(
        self,
        found: Sequence[Finding],
        allowed: Iterable[str] = (),
        others: Sequence[Finding] = (),
        beside: str = "",
    ) -> None:
        remedy = found[0].remedy if len(found) == 1 else "see the remedy of each"
        them = "it" if len(found) == 1 else "all of them"
        super().__init__(_sentence(found), f"{remedy}; or tolerate {them} with {_options(found, allowed)}{beside}")
        self.found, self.others = tuple(found), tuple(others)


@dataclass(frozen=True)
class Copy:
    """One occurrence of an image that the data contains more than once."""

    split: str
    label: str
    source: str
    image_id: str = ""
    """Digest of the image's pixels."""


def is_allowed(finding: Finding, allowed: Iterable[str]) -> bool:
    """Return whether a finding is allowed.

    Args:
        finding: The finding.
        allowed: `data.allow`: names of findings, each alone or with a file, class or feature: `two_labels:cats/1.jpg`.
            A finding that lists files and has no subject is allowed by its name alone.
    """
    about = {finding.subject, *(() if _is_list(finding) else finding.files)} - {""}
    return any(
        name == finding.name and (not what or what in about)
        for name, _, what in (entry.partition(":") for entry in allowed)
    )


def refused(found: Iterable[Finding], allowed: Iterable[str]) -> list[Finding]:
    """Return the findings that stop a run.

    Args:
        found: All findings.
        allowed: `data.allow`.
    """
    names = list(allowed)
    return [finding for finding in found if not finding.informs and not is_allowed(finding, names)]


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
        files = tuple(by_class.get(finding.subject, ()))[:_MAX_FILES]
        cause = f"{finding.cause}, such as {', '.join(files[:_EXAMPLES])}" if files else finding.cause
        named.append(replace(finding, cause=cause, files=files))
    return named


def small_images(count: int, first: Sequence[str], smallest: int) -> list[Finding]:
    """Report images with a side shorter than the minimum.

    Args:
        count: Number of such images.
        first: The first of them.
        smallest: `data.min_side`.
    """
    if not count:
        return []
    named = ", ".join(first[:_MAX_FILES]) + (", ..." if count > _MAX_FILES else "")
    have = f"{counted(count, 'image')} {'has' if count == 1 else 'have'}"
    cause = f"{have} a side of fewer than data.min_side {smallest} pixels: {named}"
    return [Finding("small_images", cause, "replace or remove them, or lower data.min_side", tuple(first[:_MAX_FILES]))]


def drift(feature: str, measure: str, value: float, bound: float, key: str) -> Finding:
    """Report a feature whose distribution has changed.

    Args:
        feature: Name of the feature.
        measure: Distance measure.
        value: The distance.
        bound: Largest allowed distance.
        key: The setting with the bound.
    """
    cause = (
        f"the distribution of {feature} differs from the data of the last blessed model: "
        f"{measure} {value:.3f}, more than {key} {bound:g}"
    )
    return Finding("drift", cause, f"check what was added or removed; if it is intended, raise {key}", subject=feature)


def another_data_set(found: Sequence[Finding], now: str, before: str) -> list[Finding]:
    """Replace findings of drift by a single one if the data are in another place than before.

    Args:
        found: Findings of drift.
        now: Folder of these data; empty if it is unknown.
        before: Folder of the data of the last blessed model; empty if it is unknown.
    """
    lost = any(finding.subject == _LOST for finding in found)
    if not found or lost or not now or not before or now == before:
        return list(found)
    features = ", ".join(finding.subject for finding in found)
    return [
        Finding(
            "drift",
            f"the last blessed model is of the data in {before}, and these are in {now}: they differ in {features}",
            "if they are two data sets, give this one a name of its own, such as --set name=NAME: one name has one "
            "series of models; if they are one that was moved, check what was added or removed",
            subject="source",
        )
    ]


def near_duplicates(
    groups: int, images: int, total: int, kept: str, examples: Sequence[Sequence[str]] = ()
) -> list[Finding]:
    """Note near-duplicates that are in one split and of one class; this never stops a run.

    Args:
        groups: Number of groups of at least two images that look alike.
        images: Number of images in them.
        total: Number of all images.
        kept: `data.on_duplicates`.
        examples: The first files of some of the groups.
    """
    if not groups:
        return []
    return [
        Finding(
            NOTED,
            f"{images:,} of {counted(total, 'image')} are near-duplicates, in {counted(groups, 'group')}: each group "
            "is in one split where edgetune makes the splits, and counts as often as it has images",
            f"data.on_duplicates is {kept}; drop keeps one of each group, and data.duplicate_distance says what is "
            "near",
            informs=True,
            pictures=tuple(
                Picture(file, group=number) for number, files in enumerate(examples, start=1) for file in files
            ),
        )
    ]


def no_baseline(uri: str, why: str) -> Finding:
    """Report that drift cannot be measured, because the statistics of all blessed models' data are gone.

    Args:
        uri: Where the latest of them were.
        why: Why they cannot be read.
    """
    return Finding(
        "drift",
        f"drift cannot be measured: the statistics of the last blessed model's data, {uri}, cannot be read: {why}",
        "restore that folder from a copy",
        subject=_LOST,
    )


def anomalies(split: str, described: Mapping[str, str]) -> list[Finding]:
    """Report the anomalies that ExampleValidator described for features of a split."""
    return [
        Finding(
            "anomaly",
            f"{feature or 'the examples'} in the split {split}: {description}",
            "the examples do not match schemas/examples.pbtxt; repair the data that they were read from",
            subject=feature,
        )
        for feature, description in sorted(described.items())
    ]


def same_images(copies: Iterable[Copy], one_only: bool = False) -> list[Finding]:
    """Report equal or nearly equal images with different labels or in different splits.

    Args:
        copies: All occurrences of one group of near-duplicates.
        one_only: Whether to report every duplicate, whatever its label and split.

    Returns:
        An empty list if all copies have the same label and are in the same split, unless `one_only` is set.
    """
    ordered = sorted(copies, key=lambda copy: (copy.label, copy.split, copy.source))
    labels, splits = sorted({c.label for c in ordered}), sorted({c.split for c in ordered})
    what = "the same image" if len({c.image_id for c in ordered}) == 1 else "nearly the same image"
    files = _representative(ordered)
    named = ", ".join(files) + (f", and {len(ordered) - len(files)} more" if len(ordered) > len(files) else "")
    found = []
    if len(labels) > 1:
        cause = f"{what} has the labels {' and '.join(labels)}: {named}"
        found.append(Finding("two_labels", cause, "keep it under the correct label and remove the others", files))
    if len(splits) > 1:
        cause = f"{what} is in the splits {' and '.join(splits)}: {named}"
        found.append(
            Finding("leakage", cause, "keep it in one split: images that were trained on cannot measure a model", files)
        )
    if one_only and len(ordered) > 1 and not found:
        remedy = "keep one of them, or set data.on_duplicates to group or drop"
        found.append(Finding("duplicates", f"{what} occurs {len(ordered)} times: {named}", remedy, files))
    return found


def torn_group(copies: Iterable[Copy]) -> list[Finding]:
    """Report a group of `data.group` whose images are in different splits: those of the data, or of earlier runs.

    Args:
        copies: All images of the group.
    """
    ordered = sorted(copies, key=lambda copy: (copy.split, copy.label, copy.source))
    splits = sorted({copy.split for copy in ordered})
    if len(splits) < 2:
        return []
    files = _representative(ordered)
    cause = f"one group of data.group is in the splits {' and '.join(splits)}: {', '.join(files[:_EXAMPLES])}"
    remedy = (
        "move it into one split; if an earlier run of this name made the splits before data.group was set, change name "
        "to divide all images anew"
    )
    return [Finding("leakage", cause, remedy, files)]


def _representative(copies: Sequence[Copy]) -> tuple[str, ...]:
    """Return up to `_MAX_FILES` files, beginning with the first of each label and split."""
    first = {(copy.label, copy.split): copy.source for copy in reversed(copies)}
    rest = [copy.source for copy in copies if copy.source not in first.values()]
    return tuple([*reversed(first.values()), *rest][:_MAX_FILES])


def _totals(splits: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for counts in splits.values():
        totals.update(counts)
    return totals


def permissions(found: Sequence[Finding], allowed: Iterable[str]) -> list[str]:
    """Return `data.allow` that allows all findings and what is allowed already: by kind if there are many."""
    narrow = [_narrowest(finding) for finding in found]
    names = narrow if len(narrow) <= _MAX_FILES else [finding.name for finding in found]
    return list(dict.fromkeys([*allowed, *names]))


def _options(found: Sequence[Finding], allowed: Iterable[str]) -> str:
    return " ".join(f"--allow {shlex.quote(name)}" for name in permissions(found, allowed))


def _is_list(finding: Finding) -> bool:
    return not finding.subject and len(finding.files) > 1 and finding.name not in _OF_COPIES


def _narrowest(finding: Finding) -> str:
    what = "" if _is_list(finding) else finding.subject or next(iter(finding.files), "")
    return f"{finding.name}:{what}" if what else finding.name


def _sentence(found: Sequence[Finding]) -> str:
    if len(found) == 1:
        return found[0].cause
    named = "".join(f"\n    {finding.cause}; {finding.remedy}" for finding in found[:_MAX_FILES])
    more = f"\n    and {len(found) - _MAX_FILES} more, see the report" if len(found) > _MAX_FILES else ""
    return f"the data has {len(found)} findings:{named}{more}"


class UnusableFiles(DataError):
    """The data cannot be trained on, and files were rejected.

    Args:
        cause: What is wrong.
        remedy: What to do about it.
        ingest: Content of `ingest.json`, for the report: TFX removes the outputs of a component that fails.
        rows: `path` and `reason` of the first rejected files, as in `rejected.csv`.
    """

    exit_code = DataError.exit_code

    def __init__(self, cause: str, remedy: str, ingest: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> None:
        super().__init__(cause, remedy)
        self.ingest, self.rows = dict(ingest), [dict(row) for row in rows]
