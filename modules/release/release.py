"""Release both models of a run as one: under one number, prepared whole, then switched, then marked.

1. One number is claimed in both destinations.
2. Both models are copied there, under hidden names.
3. The intent is written: what belongs to the release, with all digests. From here on the release is decided.
4. The bundle is switched, then the SavedModel: no SavedModel is ever served without its bundle.
5. The marker is written.

Whatever is interrupted before step 3 never happened. What is interrupted after it is completed by the next release, or
the next run: `complete` does what is left, from the copies that are there. Two processes may do so at once, with the
same result.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edgetune.modules.contracts.bundle import SIGNATURE
from edgetune.modules.core.errors import PushError
from edgetune.modules.release import marker
from edgetune.modules.release.marker import EDGE, SAVED_MODEL, Delivered, Release
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.digests import file_digests
from edgetune.modules.storage.leftovers import sweep_files, sweep_parts
from edgetune.modules.storage.versions import Copy, claim, folder_of_versions, push_error

LAST = {EDGE: "SHA256SUMS", SAVED_MODEL: "saved_model.pb"}
"""The file of each model whose presence tells readers that a version is complete."""


@dataclass(frozen=True)
class Places:
    """Folders or URLs of versions."""

    edge: str
    saved_model: str

    def of(self) -> dict[str, str]:
        """Return both by model, as they are recorded."""
        return {EDGE: folder_of_versions(self.edge), SAVED_MODEL: folder_of_versions(self.saved_model)}


def release(
    sources: Mapping[str, str],
    places: Places,
    pipeline: str,
    inputs: Mapping[str, int | str] | None = None,
    evaluation: str = "",
    rollback_to: int | None = None,
    expected: Mapping[str, Mapping[str, str]] | None = None,
    weights_sha256: str = "",
    recipe_sha256: str = "",
) -> Release:
    """Release two folders as the next version of both models.

    If the newest release has exactly these files, it is this release, and nothing is written: an interrupted run that
    is repeated does not release its models twice. Nothing is written either if a rollback is the newest release and
    replaced this SavedModel, or one with these weights, that was made by the same recipe: a rollback lasts until there
    is another model. The release that it replaced is returned.

    Args:
        sources: The folder of each model, local or a URL, by the names `EDGE` and `SAVED_MODEL`.
        places: Where to.
        pipeline: Name of the pipeline, for the marker.
        inputs: Ids in ML Metadata, for the marker.
        evaluation: Folder or URL of the evaluation by which the Evaluator blessed the model, for the marker.
        rollback_to: The earlier version whose files these are.
        expected: SHA-256 of all files by relative path by model, if it is known.
        weights_sha256: `modules.serving.saved_model.weights_sha256` of the SavedModel, empty if it is not known. Files
            of equal models differ if each was exported by a process of its own.
        recipe_sha256: Digest of settings, code and libraries by which both models were made, empty if it is not known.
            With another one, equal weights are not the same model: the graph reads images otherwise, or the edge models
            are others.

    Raises:
        PushError: A destination cannot be written, or files are not those that are expected; what was written is
            removed.
    """
    folders = places.of()
    if folders[EDGE] == folders[SAVED_MODEL]:
        raise PushError(f"{places.edge}: is the destination of both models", "name a folder for each")
    bundles = folders[EDGE]
    try:
        files = {name: file_digests(sources[name]) for name in folders}
    except OSError as error:
        raise push_error(f"{sources[EDGE]} and {sources[SAVED_MODEL]}", error) from error
    for name, found in files.items():
        if LAST[name] not in found:
            raise PushError(f"{sources[name]}: there is nothing to push", "run the pipeline again")
        if expected is not None and found != expected[name]:
            raise PushError(f"{sources[name]}: its files are being changed", "find out what changes them")
    complete(places)
    try:
        _sweep(folders)
        if rollback_to is None:
            same = _same_as_newest(folders, files)
            if earlier := same or _rolled_back(folders, files[SAVED_MODEL], weights_sha256, recipe_sha256):
                return earlier
        above = max([*marker.released(bundles), *marker.released(bundles, intent=True)], default=0)
        if above >= filesystem.LARGEST_VERSION:
            raise PushError(f"{bundles}/{marker.FOLDER}: has version {above}, and there is no higher one", "remove it")
        copies = claim([(folders[name], files[name], LAST[name]) for name in folders], above)
    except OSError as error:
        raise push_error(" and ".join(folders.values()), error) from error
    made = dict(zip(folders, copies, strict=True))
    delivered = {name: Delivered(path=copy.path, files=files[name]) for name, copy in made.items()}
    record = Release(
        format=1,
        version=copies[0].version,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        pipeline=pipeline,
        rollback_to=rollback_to,
        inputs=dict(inputs or {}),
        evaluation=evaluation,
        weights_sha256=weights_sha256,
        recipe_sha256=recipe_sha256,
        edge=delivered[EDGE],
        saved_model=delivered[SAVED_MODEL],
    )
    at = bundles
    try:
        for name, copy in made.items():
            at = copy.destination
            copy.write(sources[name])
            if not copy.is_whole():
                raise PushError(f"{sources[name]}: was changed while it was copied", "run again")
        marker.write(bundles, record, intent=True)
        for copy in copies:
            at = copy.destination
            copy.switch()
        at = bundles
        marker.write(bundles, record)
    except BaseException as error:
        if not _may_be_marked(bundles, record.version):  # interrupted behind it, or another process was faster
            _undo(bundles, copies)
        if isinstance(error, OSError):
            raise push_error(at, error) from error
        raise
    finally:
        for copy in copies:
            copy.unclaim()
    _remove(bundles, record.version, intent=True)
    return record


def complete(places: Places) -> list[Release]:
    """Complete releases that were interrupted after they were decided; leave those whose files are not all there.

    The latter have no marker and never get one: the next release has a higher number.

    Returns:
        The completed releases.
    """
    folders, done = places.of(), []
    bundles = folders[EDGE]
    try:
        complete_ones, interrupted = marker.released(bundles), marker.released(bundles, intent=True)
    except OSError:  # whoever writes there next says so
        return []
    for version in interrupted:
        try:
            if version not in complete_ones:
                found = marker.read(bundles, version, intent=True)
                if (copies := _copies(folders, found)) is None:
                    logging.warning("%s: release %d was interrupted and cannot be completed", bundles, version)
                    continue
                for copy in copies:
                    copy.switch()
                marker.write(bundles, found)
                done.append(found)
            _remove(bundles, version, intent=True)
        except (OSError, PushError) as error:
            logging.warning("%s: release %d was interrupted and cannot be examined: %s", bundles, version, error)
    return done


def uncompletable(places: Places) -> list[int]:
    """Return the versions of releases that were interrupted after they were decided, and whose files are not all there.

    Raises:
        OSError: A destination cannot be read.
    """
    folders, found = places.of(), []
    bundles = folders[EDGE]
    complete_ones = marker.released(bundles)
    for version in marker.released(bundles, intent=True):
        if version not in complete_ones:
            try:
                if _copies(folders, marker.read(bundles, version, intent=True)) is None:
                    found.append(version)
            except FileNotFoundError:  # completed by now
                continue
            except PushError:
                found.append(version)
    return found


def _copies(folders: Mapping[str, str], interrupted: Release) -> list[Copy] | None:
    """Return the copies that an interrupted release is completed from; None if they are not as decided."""
    parts = interrupted.parts()
    copies = [Copy(folders[name], interrupted.version, part.files, LAST[name]) for name, part in parts.items()]
    as_recorded = [copy.path for copy in copies] == [part.path for part in parts.values()]
    return copies if as_recorded and all(copy.is_whole() for copy in copies) else None


def altered(folder: str, files: Mapping[str, str]) -> list[str]:
    """Return the relative paths of files that are not as they were delivered, or that are there besides; sorted.

    Args:
        folder: Of a version.
        files: SHA-256 by relative path, as it was delivered.

    Raises:
        OSError: A file cannot be read.
    """
    return sorted({name for name, _ in file_digests(folder).items() ^ files.items()})


def newest(places: Places) -> tuple[int | None, int | None]:
    """Return what is served: the newest version of the SavedModel, which servers take, and the newest release.

    Raises:
        OSError: A destination cannot be read.
    """
    folders = places.of()
    models, releases = filesystem.versions(folders[SAVED_MODEL]), marker.released(folders[EDGE])
    return (models[-1] if models else None), (releases[-1] if releases else None)


def replaced(places: Places, version: int) -> str | None:
    """Return why a released version is not served, in words, if a rollback replaced it; None otherwise.

    Raises:
        OSError: The markers cannot be read.
    """
    last = _newest_marker(places.of()[EDGE])
    if last is None or last.rollback_to is None or not last.rollback_to < version < last.version:
        return None
    return f"version {last.version}, a rollback to {last.rollback_to}, replaced version {version}, which has this model"


def _rolled_back(folders: Mapping[str, str], files: Mapping[str, str], weights: str, recipe: str) -> Release | None:
    """Return the release of this model that was replaced by a rollback, if that is what is served."""
    bundles = folders[EDGE]
    last = _newest_marker(bundles)
    if last is None or last.rollback_to is None or not _is_newest(folders, last.version):
        return None
    if _has_model(folders[SAVED_MODEL], last, files, weights, recipe):
        return None
    for version in reversed(marker.released(bundles)):
        if last.rollback_to < version < last.version:
            with contextlib.suppress(PushError):
                found = marker.read(bundles, version)
                if _has_model(folders[SAVED_MODEL], found, files, weights, recipe):
                    return found
    return None


def _newest_marker(bundles: str) -> Release | None:
    """Return the newest marker; None if there is none, or if it is not what a release writes."""
    with contextlib.suppress(PushError):
        for version in marker.released(bundles)[-1:]:
            return marker.read(bundles, version)
    return None


def _is_newest(folders: Mapping[str, str], version: int) -> bool:
    return all(filesystem.versions(folder)[-1:] == [version] for folder in folders.values())


def _has_model(folder: str, made: Release, files: Mapping[str, str], weights: str, recipe: str) -> bool:
    """Return whether a release is of this model: the same files, signatures aside, or weights, by the same recipe.

    Of a release before recipes were recorded, files or weights alone tell; of one before weights were, those of the
    version in its folder of versions.
    """
    if made.recipe_sha256 and recipe and made.recipe_sha256 != recipe:
        return False
    if _unsigned(made.saved_model.files) == _unsigned(files):
        return True
    return bool(weights) and (made.weights_sha256 or _weights_of(f"{folder}/{made.version}")) == weights


def _weights_of(saved_model: str) -> str:
    """Return the digest of a version's weights; empty if they are not there any more, so that nobody can go back."""
    import tensorflow as tf

    from edgetune.modules.serving.saved_model import weights_sha256

    try:
        return weights_sha256(saved_model)
    except (OSError, ValueError, tf.errors.OpError) as error:
        logging.warning("%s: its weights cannot be compared: %s", saved_model, error)
        return ""


def _unsigned(files: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if name != SIGNATURE}


def _same_as_newest(folders: Mapping[str, str], files: Mapping[str, Mapping[str, str]]) -> Release | None:
    """Return the newest release if these are its files, and it is the newest version of both models."""
    last = _newest_marker(folders[EDGE])
    if last is None or not _is_newest(folders, last.version):
        return None
    parts = last.parts()
    for name, folder in folders.items():
        path = f"{folder}/{last.version}"
        if (parts[name].path, parts[name].files) != (path, files[name]) or altered(path, parts[name].files):
            return None
    return last


def _sweep(folders: Mapping[str, str]) -> None:
    """Remove the copies of releases that were killed before they were decided."""
    decided = marker.released(folders[EDGE], intent=True)
    for folder in folders.values():
        if not filesystem.is_remote(folder):
            sweep_parts(Path(folder), decided)
            sweep_files(Path(folder, marker.FOLDER))


def _remove(bundles: str, version: int, *, intent: bool = False) -> None:
    with contextlib.suppress(OSError):
        filesystem.remove(marker.path_of(bundles, version, intent=intent))


def _may_be_marked(bundles: str, version: int) -> bool:
    """Return whether a release has its marker, or nobody can tell: with its intent, it is completed later."""
    try:
        return version in marker.released(bundles)
    except OSError:
        return True


def _undo(bundles: str, copies: list[Copy]) -> None:
    """Remove what a failed release wrote; what failed it may fail this too."""
    for copy in reversed(copies):  # a SavedModel is not there without its bundle, not even now
        copy.remove()
    _remove(bundles, copies[0].version, intent=True)
    for folder in (f"{bundles}/{marker.FOLDER}", *(copy.destination for copy in copies if copy.made)):
        if not filesystem.is_remote(folder):
            with contextlib.suppress(OSError):  # there are other releases
                Path(folder).rmdir()
