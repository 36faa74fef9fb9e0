"""Remove from a workdir what no later run needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgetune.modules.core.errors import AccessError, ConfigError
from edgetune.modules.release import marker
from edgetune.modules.storage import filesystem, leftovers
from edgetune.pipeline.local.runner import only_run_in
from edgetune.pipeline.metadata import garbage, unfinished
from edgetune.pipeline.metadata.store import check, connection

_TIME = re.compile(r"-\d{8}-\d{6}\.log")


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
        ConfigError: There are no records in the workdir, or a run is using it.
        DatabaseError: The records cannot be read.
        AccessError: Something cannot be removed.
    """
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


def _of_pipeline(workdir: Path, database: Path, keep: int, days: int, delete: bool) -> Iterator[Removable]:
    name = database.parent.name
    config = connection(None, database)
    check(config)
    bundles = workdir / "pushed" / name / marker.EDGE
    pushed = [bundles.with_name(marker.SAVED_MODEL), bundles]
    served = [str(folder / str(version)) for folder in pushed for version in filesystem.versions(str(folder))[-1:]]
    needless = garbage.find(config, name, keep, days, served)
    for number, uri in needless.folders.items():
        if filesystem.exists(uri):
            yield _removed(uri, "artifact", delete)
        if delete:
            garbage.record_removed(config, [number])
    for node, execution in sorted({tuple(uri.rsplit("/", 2)[::2]) for uri in needless.folders.values()}):
        if filesystem.exists(of_execution := f"{node}/.system/executor_execution/{execution}"):
            yield _removed(of_execution, "artifact", delete)
    for uri in unfinished.find(config, str(workdir / "tfx_pipeline_output" / name)):
        yield _removed(uri, "killed execution", delete)
    if delete:
        unfinished.sweep(config, str(workdir / "tfx_pipeline_output" / name))
    for version in marker.released(str(bundles))[:-keep]:  # before what it says is complete
        yield _removed(marker.path_of(str(bundles), version), "pushed version", delete)
    for folder in pushed:
        for version in filesystem.versions(str(folder))[:-keep]:
            yield _removed(str(folder / str(version)), "pushed version", delete)
        for part in leftovers.dead_parts(folder, marker.released(str(bundles), intent=True)):
            yield _removed(str(part), "part of a push", delete)
    reports = [report for report in (workdir / "reports" / name).glob("*") if report.is_dir()]
    for report in sorted(reports, key=lambda folder: folder.stat().st_mtime)[:-keep]:
        if report.name not in needless.runs:
            yield _removed(str(report), "report", delete)
    logs = [log for log in (workdir / "logs").glob(f"{name}-*.log") if _TIME.fullmatch(log.name.removeprefix(name))]
    for log in sorted(logs)[:-keep]:
        yield _removed(str(log), "log", delete)


def _removed(path: str, what: str, delete: bool) -> Removable:
    found = Removable(path, what, None if filesystem.is_remote(path) else _bytes(Path(path)))
    if delete:
        filesystem.remove(path)
    return found


def _bytes(path: Path) -> int:
    return sum(one.lstat().st_size for one in (path, *path.rglob("*")) if not one.is_dir())
