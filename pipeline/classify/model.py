"""Find the model that a path names, and open it.

Finding looks at names alone: what a user cannot have meant is told before TensorFlow or LiteRT are imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from edgetune.modules.bundle.files import refuse_parent, shown
from edgetune.modules.bundle.signing import NO_KEY, Trust
from edgetune.modules.bundle.variants import model_path, variants_in
from edgetune.modules.contracts.thresholds import Thresholds, parse_threshold
from edgetune.modules.core.errors import BundleError, DataError
from edgetune.modules.storage import filesystem

if TYPE_CHECKING:
    import numpy as np

_SAVED_MODEL = "saved_model.pb"


class Model(Protocol):
    """A model in a process of its own, which ends with this object."""

    path: Path
    labels: list[str]
    """Class names in the order of its probabilities."""
    thresholds: Thresholds | None
    """None if they are not known."""

    def answers(
        self, images: Iterable[tuple[str, Path | bytes | DataError]]
    ) -> Iterator[tuple[str, np.ndarray | DataError]]:
        """Yield the name of each image and its probabilities, float32 `[C]`, or why it has none."""


@dataclass(frozen=True)
class Found:
    """A model that exists."""

    kind: Literal["edge", "saved_model"]
    path: Path
    """The `.tflite` file, or the folder of the SavedModel."""
    source: Path
    """The path that named it."""
    variant: str | None = None


def find(source: Path, variant: str | None = None, command: str = "edgetune predict") -> Found:
    """Return the model that a path names.

    Args:
        source: Folder of an edge bundle, a `.tflite` file, or folder of a SavedModel.
        variant: Of a bundle; None for its reference, float32, or the first by name.
        command: The command for the remedy, if `source` is a folder of several.

    Raises:
        BundleError: There is none, or not this variant.
    """
    if (source / _SAVED_MODEL).is_file():
        if variant is not None:
            raise BundleError(f"--variant {variant}: {source} is a SavedModel, which has none", "omit --variant")
        return Found("saved_model", source, source)
    check_is_one(source, command)
    return Found("edge", model_path(source, variant), source, variant)


def check_threshold(found: Found, threshold: float | str | None) -> None:
    """Check a threshold before a model is opened.

    Raises:
        ConfigError: It is neither `auto` nor a number from 0 to 1.
        BundleError: It is `auto`, for a SavedModel: thresholds are in the edge bundle of the same version.
    """
    if threshold is not None and parse_threshold(threshold) is None and found.kind == "saved_model":
        raise BundleError(
            f"{found.path}: a SavedModel, in which there are no thresholds of the classes",
            "name the edge bundle of the same version, or give a number as the threshold",
        )


def check_is_one(source: Path, command: str) -> None:
    """Check that a folder is not one of several versions, or above one.

    Args:
        source: What the user named.
        command: The command for the remedy, without the folder.

    Raises:
        BundleError: It is; the remedy names the newest.
    """
    if not source.is_dir() or variants_in(source):
        return
    refuse_parent(source, command)
    versions = filesystem.in_order(path.name for path in source.iterdir() if path.is_dir())
    if versions:
        raise BundleError(
            f"{shown(source)}: is the folder of {len(versions)} versions, and not one of them",
            f"name one, such as the newest: {shown(source / str(versions[-1]))}",
        )


def open_found(found: Found, trust: Trust = NO_KEY) -> Model:
    """Open a model in a process of its own.

    Args:
        found: The model.
        trust: Whose signature it must have; by default, a signed one is refused.

    Raises:
        BundleError: It cannot be used, is not as it was pushed, is not signed with this key, or is signed and the
            signature was not checked.
        ConfigError: The public key does not exist, or the signing tool is not installed.
    """
    if found.kind == "saved_model":
        from edgetune.modules.serving.isolated_saved_model import ServedModel

        trust.require(found.path)
        return ServedModel(found.path)
    from edgetune.modules.bundle.predict import open_model

    return open_model(found.source, found.variant, trust)
