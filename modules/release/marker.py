"""The marker of a release, `<folder of bundles>/releases/<version>.json`: both models of one run, with all digests.

It is written last, so a release with a marker is complete. Before the first model is switched, the same content is
written as `releases/.<version>.json`: a release with this file and without a marker was interrupted.

The folder may be written by others, so the content is checked: strict types, digests, and file names that stay inside
their folder. TensorFlow is not needed to read it, unless it is behind a URL.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from edgetune.modules.core.errors import PushError
from edgetune.modules.storage import filesystem, permissions
from edgetune.modules.storage.versions import sync_folder

FORMAT = 1
FOLDER = "releases"
EDGE, SAVED_MODEL = "edge", "saved_model"

_MAX_BYTES = 16 << 20


def _inside(name: str) -> str:
    """Check that a relative path stays in its folder."""
    if not name or "\0" in name or {"", ".", ".."} & set(name.split("/")):
        raise ValueError("is not a path inside the folder")
    return name


def _with_zone(time: str) -> str:
    """Check that a time can be compared with others."""
    if datetime.fromisoformat(time).tzinfo is None:
        raise ValueError("has no time zone")
    return time


_Name = Annotated[str, Field(max_length=1000), AfterValidator(_inside)]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Version = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Delivered(_Strict):
    """A model as it was delivered."""

    path: str
    """Its folder or URL, as the release wrote it."""
    files: Annotated[dict[_Name, _Sha256], Field(min_length=1)]
    """SHA-256 of every file, by relative path."""


class Release(_Strict):
    """Content of a marker."""

    format: Literal[1]
    version: _Version
    created: Annotated[str, AfterValidator(_with_zone)]
    """Time of the release, in UTC, as in ISO 8601."""
    pipeline: str
    rollback_to: _Version | None
    """The earlier version whose files these are; null if the models are new."""
    inputs: dict[str, int | str]
    """Ids in ML Metadata of what was released: the artifacts by input key of the component."""
    evaluation: str = ""
    """Folder or URL of the evaluation by which the Evaluator blessed the model; empty if it is not known."""
    weights_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    """Digest of the SavedModel's weights and class names; empty if it is not known."""
    recipe_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    """Digest of settings, code and libraries by which both models were made; empty if it is not known."""
    edge: Delivered
    saved_model: Delivered

    def parts(self) -> dict[str, Delivered]:
        """Return both models, in the order in which they are switched: the bundle first."""
        return {EDGE: self.edge, SAVED_MODEL: self.saved_model}


def path_of(bundles: str, version: int, *, intent: bool = False) -> str:
    """Return the path of a marker, or of what is written before it.

    Args:
        bundles: Folder or URL of the versions of the edge bundle.
        version: Of the release.
        intent: Whether it is the file for an interrupted release.
    """
    return f"{bundles}/{FOLDER}/{'.' if intent else ''}{version}.json"


def released(bundles: str, *, intent: bool = False) -> list[int]:
    """Return the versions that have a marker, sorted: the last one is what is served.

    Args:
        bundles: As in `path_of`; it need not exist.
        intent: Return those of interrupted releases, or of releases that others are making now.

    Raises:
        OSError: The folder cannot be read.
    """
    try:
        names = filesystem.names(f"{bundles}/{FOLDER}") if filesystem.exists(f"{bundles}/{FOLDER}") else []
    except FileNotFoundError:
        names = []
    prefix = "." if intent else ""
    stems = [name[len(prefix) : -len(".json")] for name in names if name.startswith(prefix) and name.endswith(".json")]
    return filesystem.in_order(stems)


def read(bundles: str, version: int, *, intent: bool = False) -> Release:
    """Read a marker.

    Args:
        bundles: As in `path_of`.
        version: Of the release.
        intent: As in `path_of`.

    Raises:
        OSError: It does not exist, or cannot be read.
        PushError: It is not what a release writes.
    """
    path = path_of(bundles, version, intent=intent)
    if not filesystem.is_remote(path) and os.path.lexists(path) and not Path(path).is_file():
        raise PushError(f"{path}: is not a file, and so not the marker of a release", "remove it")
    content = filesystem.read(path, _MAX_BYTES)
    try:
        release = Release.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise PushError(f"{path}: is not the marker of a release: {where}: {first['msg']}", "remove it") from None
    if release.version != version:
        raise PushError(f"{path}: is the marker of version {release.version}", "remove it")
    return release


def write(bundles: str, release: Release, *, intent: bool = False) -> None:
    """Write a marker, atomically.

    Raises:
        OSError: It cannot be written.
    """
    path = path_of(bundles, release.version, intent=intent)
    content = (json.dumps(release.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode()
    folder = os.path.dirname(path)  # noqa: PTH120 - may be a URL
    if filesystem.is_remote(folder):
        filesystem.make_folder(folder)
    else:
        permissions.make_folder(Path(folder))
    # Two processes that complete one release write the same marker at once.
    part = f"{folder}/.{release.version}.{uuid.uuid4().hex}.part"
    try:
        if filesystem.is_remote(part):
            filesystem.write(part, content)
        else:
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            permissions.apply(permissions.policy(Path(bundles)), [Path(part)])
        filesystem.rename(part, path, overwrite=True)
        if not filesystem.is_remote(part):
            sync_folder(Path(folder))
    except BaseException:
        with contextlib.suppress(OSError):
            filesystem.remove(part)
        raise


def as_json(release: Release) -> dict[str, Any]:
    """Return the content as JSON values."""
    return release.model_dump(mode="json")
