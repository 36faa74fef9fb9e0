"""What did the work, written onto what came of it, and read where it is needed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from tfx import types

from edgetune.modules.core.library_versions import KEY, record


def stamp(outputs: Mapping[str, Sequence[types.Artifact]], libraries: Iterable[str]) -> None:
    """Writes the versions in this process onto all outputs of an executor.

    It comes before the work: some of TFX's executors describe their outputs themselves when they return.

    Args:
        outputs: An executor's outputs, by key.
        libraries: Those that decide what it puts out.
    """
    versions = record(libraries)
    for artifacts in outputs.values():
        for artifact in artifacts:
            artifact.set_string_custom_property(KEY, versions)


def versions_of(artifact: types.Artifact) -> dict[str, str | None] | None:
    """Versions by name of what made an artifact, null for what was not installed; None where they are not recorded."""
    try:
        versions = json.loads(artifact.get_string_custom_property(KEY))
    except ValueError:  # none, or a record that was altered
        return None
    return versions if isinstance(versions, dict) else None
