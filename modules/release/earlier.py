"""What later models are compared with on platforms, where no component can ask ML Metadata: the markers say it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TypeVar

from edgetune.modules.release import marker

T = TypeVar("T")


def evaluations(bundles: str, days: int, models: int) -> list[str]:
    """Return the evaluations by which released models were blessed, the oldest first, each once.

    Args:
        bundles: Folder or URL of the versions of the edge bundle; it need not exist.
        days: Age of the oldest release in days; the last one has no limit.
        models: Maximum number; of more, some are left out evenly, never the oldest or the last.

    Raises:
        OSError: A marker cannot be read.
        PushError: A marker is damaged. It may be of the very model that serves.
    """
    since = datetime.now(timezone.utc) - timedelta(days)
    found: list[str] = []
    for version in reversed(marker.released(bundles)):
        release = marker.read(bundles, version)
        if found and datetime.fromisoformat(release.created) < since:
            break
        # A rollback is of an evaluation that an earlier release has, too; what serves now is the last one.
        if release.evaluation and release.evaluation not in found:
            found.append(release.evaluation)
    return spread(found[::-1], models)


def spread(items: Sequence[T], most: int) -> list[T]:
    """Return at most this many items, evenly spread, with the first and the last; if `most` is 1, only the last."""
    if len(items) <= most:
        return list(items)
    return [items[-1 - round(step * (len(items) - 1) / max(most - 1, 1))] for step in reversed(range(most))]
