"""Release the models of an earlier version again, under a new number."""

from __future__ import annotations

import logging
from pathlib import Path

from edgetune.components.common import names
from edgetune.modules.core.errors import ConfigError, NotBlessed, PushError
from edgetune.modules.release import marker
from edgetune.modules.release.marker import Release
from edgetune.modules.release.release import altered, complete, newest, release
from edgetune.modules.settings.run import RunSettings
from edgetune.modules.storage.digests import digest_of
from edgetune.pipeline.history.runs import records
from edgetune.pipeline.local import places
from edgetune.pipeline.local.runner import only_run_in
from edgetune.pipeline.metadata.releases import find, not_blessed, record, record_missing
from edgetune.pipeline.metadata.store import connection


def rollback(settings: RunSettings, workdir: Path, version: int) -> Release:
    """Release the files of an earlier version as the newest one, by the same steps as a run, and record it.

    Args:
        settings: The configuration, for the name of the pipeline and its places.
        workdir: Of the runs.
        version: The earlier version.

    Returns:
        The new release.

    Raises:
        ConfigError: There is no such release, or it is served already; or another process uses the workdir.
        NotBlessed: The records do not have the blessings of all gates for its files.
        PushError: Files are not as they were delivered, or a place cannot be read or written.
    """
    workdir = workdir.resolve()  # as runs record the paths of what is in it
    config = connection(settings.state.metadata, places.metadata_db(settings, workdir))
    pushed = places.pushed(settings, workdir)
    store = records(settings, workdir)  # before the lock, which makes the workdir
    with only_run_in(workdir):
        complete(pushed)
        record_missing(config, settings.name, pushed)
        old = _release(settings, workdir, version)
        recorded = find(store, settings.name, version)
        if recorded is None:
            raise NotBlessed(
                f"version {version}: the records of {settings.name} do not have it, so it may not have been blessed",
                "name the workdir and the configuration of the run that released it",
            )
        if why := not_blessed(store, recorded.inputs, old):
            raise NotBlessed(f"version {version}: {why}", "name another version; `edgetune runs` lists them")
        sources = {name: f"{folder}/{version}" for name, folder in pushed.of().items()}
        for name, part in old.parts().items():
            _check(sources[name], part, recorded.digests.get(name, ""))
        files = {name: part.files for name, part in old.parts().items()}
        made = release(
            sources,
            pushed,
            settings.name,
            recorded.inputs,
            old.evaluation,
            version,
            files,
            old.weights_sha256,
            old.recipe_sha256,
        )
        record(config, settings.name, made, recorded.inputs, pushed, names.ROLLBACK)
    logging.info("rolled back to %d as version %d", version, made.version)
    return made


def _release(settings: RunSettings, workdir: Path, version: int) -> Release:
    """Return the marker of an earlier version."""
    pushed = places.pushed(settings, workdir)
    try:
        released, (model, last) = marker.released(pushed.edge), newest(pushed)
        if version not in released:
            named = ", ".join(map(str, released[-5:])) or "none"
            raise ConfigError(
                f"--to {version}: no such version was released; the latest are: {named}", "name one of them"
            )
        if last == model and last is not None and version in (last, marker.read(pushed.edge, last).rollback_to):
            where = "" if version == last else f", as version {last}"
            other = "name an earlier version" if len(released) > 1 else "there is no other version to go back to"
            raise ConfigError(f"--to {version}: it is served already{where}", other)
        return marker.read(pushed.edge, version)
    except OSError as error:
        raise PushError(f"{pushed.edge}: cannot be read: {error.strerror}", "check that it can be reached") from error


def _check(folder: str, delivered: marker.Delivered, recorded: str) -> None:
    """Check that a version's files are those that were delivered, by the marker and by the records."""
    if digest_of(delivered.files) != recorded:
        raise PushError(
            f"{folder}: its marker does not have the digests that were recorded when it was released",
            "find out what changed the marker; go back to another version",
        )
    try:
        changed = altered(folder, delivered.files)
    except OSError as error:
        raise PushError(f"{folder}: cannot be read: {error.strerror}", "go back to another version") from error
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise PushError(
            f"{folder}: {changed[0]}{more}: not as it was delivered",
            "find out what changed it, and restore it, or go back to another version",
        )
