"""Digests of the files that a gate measured: recorded by each gate before it reads them, compared before a release.

A blessing is for an artifact, whose files can be changed afterwards. So each gate records on its blessing what it is
about to measure, and neither model is delivered unless all files of the SavedModel, of the edge models, and of the
evaluations that go into the bundle are still those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tfx import types
from tfx.utils import path_utils

from edgetune.components.common import blessings, names
from edgetune.modules.core.errors import PushError
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.digests import folder_digest

SAVED_MODEL, MODEL_EVALUATION = names.SAVED_MODEL_SHA256, "evaluation_sha256"
INFRA_EVALUATION = "infra_sha256"
EDGE_MODEL, EDGE_EVALUATION = "edge_model_sha256", "edge_evaluation_sha256"
"""Custom properties of a blessing: SHA-256 of all files of what was judged, or of the judgement; 64 hexadecimal
digits."""
_GATES = {
    blessings.MODEL_BLESSING: names.EVALUATOR,
    blessings.INFRA_BLESSING: names.INFRA_VALIDATOR,
    blessings.EDGE_BLESSING: names.EDGE_EVALUATOR,
}

Inputs = Mapping[str, Sequence[types.Artifact]]


def digest(folder: str) -> str:
    """Return the SHA-256 of the names and contents of all files in a folder, local or a URL."""
    return folder_digest(folder, skip=())


def record(blessing: types.Artifact, key: str, folder: str) -> None:
    """Record the `digest` of a folder on a blessing, under one of the keys above; before any file in it is read."""
    blessing.set_string_custom_property(key, digest(folder))


def folders(inputs: Inputs) -> dict[str, str]:
    """Return the folders of all that was measured, by the keys above.

    Args:
        inputs: ReleasePusher's inputs, with all blessings (`blessings.refusal`).
    """
    return {
        SAVED_MODEL: path_utils.serving_model_path(inputs[names.MODEL_KEY][0].uri),
        MODEL_EVALUATION: blessings.evaluation_of(inputs),
        INFRA_EVALUATION: inputs[blessings.INFRA_BLESSING][0].uri,
        EDGE_MODEL: inputs[names.EDGE_MODEL_KEY][0].uri,
        EDGE_EVALUATION: inputs[blessings.EDGE_EVALUATION][0].uri,
    }


def fetch(inputs: Inputs, target: Path) -> dict[str, str]:
    """Copy all that was measured, and check that it is what the gates measured.

    Only the copies are delivered, so nothing can be changed between this check and the push.

    Args:
        inputs: As for `folders`.
        target: A folder of this machine.

    Returns:
        The copies' folders, by the keys above.

    Raises:
        PushError: Files were changed or cannot be read, or a gate did not record a digest; it names the folder and what
            to run again.
    """
    originals = folders(inputs)
    copies = {key: str(target / key) for key in originals}
    try:
        for key, copy in copies.items():
            filesystem.fetch(originals[key], Path(copy))
        found = {key: digest(copy) for key, copy in copies.items()}
    except OSError as error:
        cause = f"the files that were measured cannot be read: {filesystem.error_line(error)}"
        raise PushError(cause, "run again once they can be") from error
    for key, blessing, maker in _digests():
        expected, gate = inputs[blessing][0].get_string_custom_property(key), _GATES[blessing]
        if not expected:
            raise PushError(
                f"{originals[key]}: the {gate} did not record which files it measured, so nothing was pushed",
                "evaluate again, without the cache: `edgetune run --no-cache`",
            )
        if found[key] != expected:
            raise PushError(
                f"{originals[key]}: its files are not those that the {gate} measured, so nothing was pushed",
                f"find out what changed them, then run {maker} and all that follows again, without the cache, which "
                "would give the changed files: `edgetune run --no-cache`",
            )
    return copies


def _digests() -> Iterator[tuple[str, str, str]]:
    """Yield key and blessing of each digest, and the component that made the files."""
    for blessing in _GATES:
        yield SAVED_MODEL, blessing, names.TWO_PHASE_TRAINER
    yield MODEL_EVALUATION, blessings.MODEL_BLESSING, names.EVALUATOR
    yield INFRA_EVALUATION, blessings.INFRA_BLESSING, names.INFRA_VALIDATOR
    yield EDGE_MODEL, blessings.EDGE_BLESSING, names.EDGE_DESCRIBER
    yield EDGE_EVALUATION, blessings.EDGE_BLESSING, names.EDGE_EVALUATOR
