"""Record library versions on artifacts, and read them back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from tfx import types

from edgetune.modules.core.library_versions import KEY, record


def stamp(outputs: Mapping[str, Sequence[types.Artifact]], libraries: Iterable[str]) -> None:
    """Record this process's library versions on all outputs of an executor.

    Call it before the work: some of TFX's executors describe their outputs themselves when they return.

    Args:
        outputs: An executor's outputs, by key.
        libraries: Libraries that determine the outputs.
    """
    versions = record(libraries)
    for artifacts in outputs.values():
        for artifact in artifacts:
            artifact.set_string_custom_property(KEY, versions)


def versions_of(artifact: types.Artifact) -> dict[str, str | None] | None:
    """Return the library versions recorded on an artifact, by name; None if there is no readable record.

    A library that was not installed has the version None.
    """
    try:
        versions = json.loads(artifact.get_string_custom_property(KEY))
    except ValueError:  # no record, or one that was altered
        return None
    return versions if isinstance(versions, dict) else None
