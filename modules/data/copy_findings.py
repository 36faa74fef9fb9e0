"""Findings about images that look alike, or that the user put into one group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgetune.modules.core.wording import counted
from edgetune.modules.data.findings import MOST_FILES, Finding, Picture

_EXAMPLES = 3


@dataclass(frozen=True)
class Copy:
    """One occurrence of an image that the data contains more than once."""

    split: str
    label: str
    source: str
    image_id: str = ""
    """Digest of the image's pixels."""


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
            "near_duplicates",
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
    """Return up to `MOST_FILES` files, beginning with the first of each label and split."""
    first = {(copy.label, copy.split): copy.source for copy in reversed(copies)}
    rest = [copy.source for copy in copies if copy.source not in first.values()]
    return tuple([*reversed(first.values()), *rest][:MOST_FILES])
