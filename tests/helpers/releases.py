"""Releases as they are on a disk, without the models."""

from __future__ import annotations

from pathlib import Path

from edgetune.modules.release import marker
from edgetune.modules.release.release import EDGE, SAVED_MODEL, Places
from edgetune.modules.storage.digests import file_digests

FILES = {EDGE: "SHA256SUMS", SAVED_MODEL: "saved_model.pb"}


def write_release(
    places: Places, version: int, rollback_to: int | None = None, evaluation: str = "", created: str = ""
) -> marker.Release:
    """Write both models, one file each with their version, and the marker."""
    parts = {}
    for name, folder in places.of().items():
        path = Path(folder, str(version))
        path.mkdir(parents=True)
        (path / FILES[name]).write_text(f"{name} {version if rollback_to is None else rollback_to}")
        parts[name] = marker.Delivered(path=str(path), files=file_digests(str(path)))
    release = marker.Release(
        format=1,
        version=version,
        created=created or f"2026-11-{version % 30 + 1:02}T00:00:00+00:00",
        pipeline="birds",
        rollback_to=rollback_to,
        inputs={},
        evaluation=evaluation,
        **parts,
    )
    marker.write(places.of()[EDGE], release)
    return release
