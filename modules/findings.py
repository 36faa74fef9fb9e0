"""What is wrong with a dataset although every file could be read. Each finding names the files and says what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_NAMED = 10


@dataclass(frozen=True)
class Finding:
    """One thing that should stop a run."""

    name: str
    """What kind of thing, such as `small_class`."""
    cause: str
    """One sentence."""
    remedy: str
    """One sentence."""
    files: tuple[str, ...] = field(default=())
    """Files of the data that it is about, relative to the data's folder."""


@dataclass(frozen=True)
class Copy:
    """Where an image stands that is in the data more than once."""

    split: str
    label: str
    source: str


def small_classes(splits: Mapping[str, Mapping[str, int]], smallest: int) -> list[Finding]:
    """Classes with fewer than `smallest` images over all splits.

    Args:
        splits: Images by class by split.
        smallest: `data.min_examples_per_class`.
    """
    totals: Counter[str] = Counter()
    for counts in splits.values():
        totals.update(counts)
    return [
        Finding(
            "small_class",
            f"the class {name} has {count} usable images, fewer than data.min_examples_per_class {smallest}",
            "add images, remove the class, or lower data.min_examples_per_class",
        )
        for name, count in sorted(totals.items())
        if count < smallest
    ]


def anomalies(split: str, described: Mapping[str, str]) -> list[Finding]:
    """What ExampleValidator found in a split: a description by feature."""
    return [
        Finding(
            "anomaly",
            f"{feature or 'the examples'} in the split {split}: {description}",
            "the examples are not what schemas/examples.pbtxt says; repair the data that they were read from",
        )
        for feature, description in sorted(described.items())
    ]


def identical_images(copies: Iterable[Copy]) -> list[Finding]:
    """What is wrong with images of equal pixels: different labels, or different splits.

    Args:
        copies: All places of one image.

    Returns:
        Nothing where all copies have the same label and are in the same split.
    """
    places = sorted(copies, key=lambda copy: (copy.label, copy.split, copy.source))
    files = tuple(copy.source for copy in places[:_NAMED])
    labels, splits = sorted({c.label for c in places}), sorted({c.split for c in places})
    found = []
    if len(labels) > 1:
        cause = f"the same image stands under the labels {' and '.join(labels)}: {', '.join(files)}"
        found.append(Finding("two_labels", cause, "keep it under the label that is right, remove the others", files))
    if len(splits) > 1:
        cause = f"the same image is in the splits {' and '.join(splits)}: {', '.join(files)}"
        found.append(Finding("leakage", cause, "keep it in one split: what was trained on measures nothing", files))
    return found
