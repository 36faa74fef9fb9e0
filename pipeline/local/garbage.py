"""Remove from a workdir what no later run needs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from edgetune.modules.core.errors import AccessError, ConfigError
from edgetune.modules.release import marker
from edgetune.modules.release.release import Places, uncompletable
from edgetune.modules.storage import filesystem, leftovers
from edgetune.pipeline.local.runner import only_run_in
from edgetune.pipeline.metadata import garbage, unfinished
from edgetune.pipeline.metadata.pushes import is_rollback
from edgetune.pipeline.metadata.store import check, connection, has_tables

_TIME = re.compile(r"-\d{8}-\d{6}\.log")
_OUTPUT = "tfx_pipeline_output"
"""Folder of a workdir in which TFX writes artifacts."""


@dataclass(frozen=True)
class Removable:
    """A file, folder or URL that nothing needs."""

    path: str
    what: str
    """`artifact`, `killed execution`, `pushed version`, `part of a push`, `report` or `log`."""
    bytes: int | None
    """Its size; None behind a URL."""


def collect(workdir: Path, *, keep: int, days: int, delete: bool) -> list[Removable]:
    """Find what no later run in a workdir needs, of all of its pipelines, and remove it if `delete` is true.

    What is served, the last blessed model and all from which they were made stay, and so does everything of the newest
    runs, which a later run takes from the cache. ML Metadata keeps the records of what is removed.

    Args:
        workdir: The folder of `edgetune run`, with its records in a file.
        keep: Number of newest runs, versions, reports and logs of each pipeline that stay; at least 1.
        days: Evaluations of models that were blessed in so many days before the last one stay: later models are
            compared with them (`evaluation.compare_days`).
        delete: Remove what is found.

    Raises:
        ConfigError: There are no records in the workdir, or they do not have the newest release, or a run is using it.
        DatabaseError: The records cannot be read.
        AccessError: Something cannot be removed.
    """
    workdir = workdir.resolve()  # as runs record it
    databases = sorted(workdir.glob("tfx_metadata/*/metadata.db"))
    if not databases:
        raise ConfigError(
            f"--workdir {workdir}: no run is recorded here", "name the folder of `edgetune run`, with its records"
        )
    found: list[Removable] = []
    with only_run_in(workdir):
        for database in databases:
            try:
                found += _of_pipeline(workdir, database, keep, days, delete)
            except OSError as error:
                raise AccessError(
                    f"{error.filename or database}: cannot be removed: {error.strerror or error}",
                    "allow this user to remove it, then run the same command again",
                ) from error
    return found


def _of_another(uri: str, workdir: Path) -> bool:
    """Return whether a folder is in another workdir: this one is a copy of it, with its records."""
    root, below, _ = uri.partition(f"/{_OUTPUT}/")
    return bool(below) and os.path.realpath(root) != os.path.realpath(workdir)


def _of_pipeline(workdir: Path, database: Path, keep: int, days: int, delete: bool) -> Iterator[Removable]:
    name = database.parent.name
    config = connection(None, database)
    check(config)
    if not has_tables(database):  # a first run was killed at once
        return
    pushed = _Pushed(workdir / "pushed" / name, keep)
    garbage.check_newest(config, pushed.released[-1:])
    needless = garbage.find(config, name, keep, days, pushed.served())
    folders = {number: uri for number, uri in needless.folders.items() if not _of_another(uri, workdir)}
    for number, uri in folders.items():
        if delete:  # before: the cache takes what is live, whatever is left of it
            garbage.record_doomed(config, number)
        if filesystem.exists(uri):
            yield _removed(uri, "artifact", delete)
        if delete:
            garbage.record_removed(config, number)
    for node, execution in sorted({tuple(uri.rsplit("/", 2)[::2]) for uri in folders.values()}):
        if filesystem.exists(of_execution := f"{node}/.system/executor_execution/{execution}"):
            yield _removed(of_execution, "artifact", delete)
    for uri in unfinished.find(config, str(workdir / _OUTPUT / name)):
        yield _removed(uri, "killed execution", delete)  # the next run, which knows its place, records it as canceled
    for path in pushed.needless():
        yield _removed(path, "pushed version", delete)
    for part in pushed.parts():
        yield _removed(str(part), "part of a push", delete)
    reports = [report for report in (workdir / "reports" / name).glob("*") if report.is_dir()]
    for report in sorted(reports, key=lambda folder: folder.stat().st_mtime)[:-keep]:
        if report.name not in needless.runs:
            yield _removed(str(report), "report", delete)
    logs = [log for log in (workdir / "logs").glob(f"{name}-*.log") if _TIME.fullmatch(log.name.removeprefix(name))]
    for log in sorted(logs)[:-keep]:
        yield _removed(str(log), "log", delete)


class _Pushed:
    """Versions of both models in a workdir, and their markers."""

    def __init__(self, folder: Path, keep: int) -> None:
        self._places = Places(str(folder / marker.EDGE), str(folder / marker.SAVED_MODEL))
        self._folders = [Path(self._places.saved_model), Path(self._places.edge)]
        self._keep = keep
        self.released = marker.released(self._places.edge)
        """Versions with a marker, sorted."""
        self._lost = set(uncompletable(self._places))
        self._decided = set(marker.released(self._places.edge, intent=True))
        # The first version that stays. Rollbacks replaced what runs had made, which later runs ask for.
        made_by_runs = (version for version in reversed(self.released) if not is_rollback(self._places, version))
        self._first = min([*self.released[-keep:], *islice(made_by_runs, 1)], default=None)

    def served(self) -> list[str]:
        """Return the folders that servers and apps take."""
        return [
            str(folder / str(version))
            for folder in self._folders
            for version in {*filesystem.versions(str(folder))[-1:], *self.released[-1:]}
        ]

    def needless(self) -> list[str]:
        """Return markers and folders of versions to remove, in this order: a version with a marker is complete.

        What is newer than the first marker that stays, stays; so does what a run will complete.
        """
        folders = {folder: filesystem.versions(str(folder)) for folder in self._folders}
        if self._first is None:
            old = {folder: versions[: -self._keep] for folder, versions in folders.items()}
        else:
            old = {folder: [version for version in all_ if self._is_old(version)] for folder, all_ in folders.items()}
        markers = [marker.path_of(self._places.edge, version) for version in self.released if self._is_old(version)]
        lost = [version for version in sorted(self._lost) if self._is_old(version)]
        markers += [marker.path_of(self._places.edge, version, intent=True) for version in lost]
        return markers + [str(folder / str(version)) for folder, versions in old.items() for version in versions]

    def parts(self) -> list[Path]:
        """Return what killed pushes left and no run will complete."""
        decided = {version for version in self._decided if not (version in self._lost and self._is_old(version))}
        return [part for folder in self._folders for part in leftovers.dead_parts(folder, decided)]

    def _is_old(self, version: int) -> bool:
        if self._first is None or version >= self._first:
            return False
        return version not in self._decided or version in self._lost


def _removed(path: str, what: str, delete: bool) -> Removable:
    found = Removable(path, what, None if filesystem.is_remote(path) else _bytes(Path(path)))
    if delete:
        filesystem.remove(path)
    return found


def _bytes(path: Path) -> int:
    return sum(one.lstat().st_size for one in (path, *path.rglob("*")) if not one.is_dir())
