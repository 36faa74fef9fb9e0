"""Digests of the files that a gate measured: recorded by each gate before it reads them, compared by both pushers.

A blessing is for an artifact, whose files can be changed afterwards. So each gate records on its blessing what it is
about to measure, and neither pusher delivers anything unless all files of the SavedModel, of the edge models and of
their evaluation are still those. Which pusher runs first then does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfx import types
from tfx.utils import path_utils

from edgetune.components.common import blessings, names
from edgetune.modules.core.errors import PushError
from edgetune.modules.storage.digests import folder_digest

SAVED_MODEL, EDGE_MODEL, EDGE_EVALUATION = "saved_model_sha256", "edge_model_sha256", "edge_evaluation_sha256"
"""Custom properties of a blessing: SHA-256 of all files of what was judged, 64 hexadecimal digits."""
_GATES = {
    blessings.MODEL_BLESSING: names.EVALUATOR,
    blessings.INFRA_BLESSING: names.INFRA_VALIDATOR,
    blessings.EDGE_BLESSING: names.EDGE_EVALUATOR,
}


def digest(folder: str) -> str:
    """Return the SHA-256 of the names and contents of all files in a folder, local or a URL."""
    return folder_digest(folder, skip=())


def record(blessing: types.Artifact, key: str, folder: str) -> None:
    """Record the `digest` of a folder on a blessing, under one of the keys above; before any file in it is read."""
    blessing.set_string_custom_property(key, digest(folder))


def check(inputs: Mapping[str, Sequence[types.Artifact]]) -> None:
    """Check that all files are those that the gates measured.

    Args:
        inputs: A pusher's inputs, with all blessings (`blessings.refusal`).

    Raises:
        PushError: Files were changed, or a gate did not record a digest; it names the folder and what to run again.
    """
    model, edge_model, evaluation = (
        inputs[key][0] for key in (names.MODEL_KEY, names.EDGE_MODEL_KEY, blessings.EDGE_EVALUATION)
    )
    check_saved_model(inputs, path_utils.serving_model_path(model.uri))
    _compare(inputs, blessings.EDGE_BLESSING, EDGE_MODEL, edge_model.uri, names.EDGE_EXPORTER)
    _compare(inputs, blessings.EDGE_BLESSING, EDGE_EVALUATION, evaluation.uri, names.EDGE_EVALUATOR)


def check_saved_model(inputs: Mapping[str, Sequence[types.Artifact]], folder: str) -> None:
    """Check the files of the SavedModel in a folder: the artifact's own, or a copy. Otherwise as `check`."""
    for key in _GATES:
        _compare(inputs, key, SAVED_MODEL, folder, names.TWO_PHASE_TRAINER)


def _compare(inputs: Mapping[str, Sequence[types.Artifact]], blessing: str, key: str, folder: str, maker: str) -> None:
    expected = inputs[blessing][0].get_string_custom_property(key)
    if not expected:
        raise PushError(
            f"{folder}: the {_GATES[blessing]} did not record which files it measured, so nothing was pushed",
            "evaluate again: `edgetune run --no-cache`",
        )
    if digest(folder) != expected:
        raise PushError(
            f"{folder}: its files are not those that the {_GATES[blessing]} measured, so nothing was pushed",
            f"find out what changed them, then run {maker} and all that follows again: `edgetune run --no-cache`; "
            "without this option the changed files would be taken from the cache",
        )
