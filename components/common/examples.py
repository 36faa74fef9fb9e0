"""Check an artifact of examples before anything reads it."""

from __future__ import annotations

from collections.abc import Sequence

from tfx import types
from tfx.types import artifact_utils

from edgetune.modules.examples import shards


def check_examples(artifacts: Sequence[types.Artifact]) -> dict[str, int]:
    """Check that the folder of the only artifact has the files that its writer recorded, and no others.

    Args:
        artifacts: An executor's input, of type `standard_artifacts.Examples`.

    Returns:
        Number of records by split.

    Raises:
        DataError: A file is missing, has another size, or was not written with the artifact; see `shards.check`.
    """
    examples = artifact_utils.get_single_instance(list(artifacts))
    return shards.check(examples.uri, examples.get_string_custom_property(shards.PROPERTY))
