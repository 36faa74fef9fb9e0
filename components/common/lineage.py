"""Record on artifacts what made them: library versions and the recipe; and read them back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfx import types

from edgetune.components.common.names import RECIPE_SHA256
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


def record_recipe(
    inputs: Mapping[str, Sequence[types.Artifact]],
    outputs: Mapping[str, Sequence[types.Artifact]],
    exec_properties: Mapping[str, Any],
) -> None:
    """Record on all outputs of an executor the SHA-256 of what it makes them by: settings, code and library versions.

    The recipes of the inputs count, so that of the last component in a row stands for all of them. Data do not.

    Args:
        inputs: The executor's inputs, by key; those without a recipe are data.
        outputs: Its outputs, by key.
        exec_properties: All that it was given, with `code_digest` and `library_versions`.
    """
    recipes = {key: [one.get_string_custom_property(RECIPE_SHA256) for one in ones] for key, ones in inputs.items()}
    found = json.dumps([recipes, dict(exec_properties)], sort_keys=True, default=str)
    for artifacts in outputs.values():
        for artifact in artifacts:
            artifact.set_string_custom_property(RECIPE_SHA256, hashlib.sha256(found.encode()).hexdigest())


def versions_of(artifact: types.Artifact) -> dict[str, str | None] | None:
    """Return the library versions recorded on an artifact, by name; None if there is no readable record.

    A library that was not installed has the version None.
    """
    try:
        versions = json.loads(artifact.get_string_custom_property(KEY))
    except ValueError:  # no record, or one that was altered
        return None
    return versions if isinstance(versions, dict) else None
