"""Start an executor from empty output folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfx import types

from edgetune.modules.storage import filesystem


def empty(outputs: Mapping[str, Sequence[types.Artifact]]) -> None:
    """Remove what an earlier execution left in the output folders of this one.

    TFX numbers executions by its database and names the folders by these numbers. If the database was moved away, or
    lost, the numbers start again, and the folders of a killed execution are those of a new one. Several readers, TFX's
    and Beam's, take every file in a folder that matches a pattern.

    Args:
        outputs: An executor's outputs, by key.
    """
    for artifacts in outputs.values():
        for artifact in artifacts:
            if artifact.uri:
                filesystem.make_empty(artifact.uri)
