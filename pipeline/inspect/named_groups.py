"""What a run would say about the groups that `data.group` names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from edgetune.modules.core.errors import DataError
from edgetune.modules.data.columns import is_pattern
from edgetune.modules.data.copy_findings import Copy, torn_group
from edgetune.modules.data.findings import Finding
from edgetune.modules.data.groups import UNMATCHED, check_largest, matched


def group_of(group: str | None, of_line: str, path: str) -> str | None:
    """Return the group of an image, empty if it needs none; None if it has none, so that a run rejects it.

    Args:
        group: `data.group`.
        of_line: Its value in the column of a list; empty if there is none.
        path: Relative to the data's folder.
    """
    if of_line or not group or not is_pattern(group):
        return of_line
    return matched(group, path)


def connected(groups: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the groups of near-duplicates, connected by those that `data.group` names.

    Args:
        groups: int `[N]`, as `modules.data.near_duplicates.alike` returns them.
        names: Group of each image, empty for none.

    Returns:
        int `[N]`.
    """
    from edgetune.modules.data.near_duplicates import DisjointSets  # which imports SciPy

    sets = DisjointSets()
    for name, group in zip(names, groups.tolist(), strict=True):
        if name:
            sets.union(("alike", group), ("named", name))
    roots: dict[object, int] = {}
    return np.array([roots.setdefault(sets.find(("alike", group)), len(roots)) for group in groups.tolist()])


def torn(images: Iterable[tuple[str, Copy]]) -> list[Finding]:
    """Return a finding about each group that is in several splits of the data.

    Args:
        images: Group of each image, empty for none, and the image.
    """
    members: dict[str, list[Copy]] = defaultdict(list)
    for name, copy in images:
        if name:
            members[name].append(copy)
    return [finding for name in sorted(members) for finding in torn_group(members[name])]


def problems(
    group: str | None, names: Sequence[tuple[str, str]], rejected: Sequence[Mapping[str, str]], divides: bool
) -> Iterator[str]:
    """Yield what would stop a run.

    Args:
        group: `data.group`.
        names: Group and path of each image.
        rejected: `path` and `reason` of the others.
        divides: Whether edgetune makes splits.
    """
    unmatched = [row["path"] for row in rejected if row["reason"].startswith(UNMATCHED)]
    if unmatched and not names:
        yield f"data.group matches the path of no image, such as {unmatched[0]}: {group}"
    sizes = Counter(name for name, _ in names if name)
    if sizes and divides:
        [(largest, size)] = sizes.most_common(1)
        try:
            check_largest(size, len(names), min(path for name, path in names if name == largest))
        except DataError as error:
            yield error.cause
