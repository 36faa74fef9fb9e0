"""Running the pipeline on this machine: TFX's BeamDagRunner, with ML Metadata in a sqlite file.

`push` and `state` of the configuration may name other places for what is pushed, for artifacts and for ML Metadata.

<workdir>/tfx_pipeline_output/<name>/     all artifacts, as TFX lays them out
<workdir>/tfx_metadata/<name>/            metadata.db
<workdir>/pushed/<name>/                  saved_model/<version>/ and edge/<version>/
<workdir>/reports/<name>/<run id>/        index.html
<workdir>/logs/                           everything that TFX, Beam and TensorFlow say
<workdir>/data/                           the embedded digits, once they are asked for
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from absl import logging

from edgetune.modules.core import progress
from edgetune.modules.core.errors import ConfigError, EdgetuneError, MachineError, PushError
from edgetune.modules.core.faults import fault
from edgetune.modules.core.gc_pause import gc_paused
from edgetune.modules.core.untrusted_text import for_terminal
from edgetune.modules.core.wording import counted
from edgetune.modules.release.release import complete
from edgetune.modules.settings.execution import BeamSettings
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.beam.failure import engine_failure
from edgetune.pipeline.beam.flags import beam_flags, ingest_processes, memory_warning
from edgetune.pipeline.local import places, supervisor
from edgetune.pipeline.local.aftermath import outcome_of, report_of, said
from edgetune.pipeline.local.result import Run, result
from edgetune.pipeline.metadata.outcome import last_run
from edgetune.pipeline.metadata.pushes import reason_to_push, superseded
from edgetune.pipeline.metadata.releases import record_missing
from edgetune.pipeline.metadata.store import check, check_texts, connection, number_after, without_password
from edgetune.pipeline.metadata.unfinished import sweep
from edgetune.pipeline.preflight.run import check_run, find_source
from edgetune.pipeline.report import summary
from edgetune.pipeline.terminal.console import Console
from edgetune.pipeline.terminal.log_capture import capture

if TYPE_CHECKING:
    from tfx.orchestration.pipeline import Pipeline

    from edgetune.modules.data.sources import Source
    from edgetune.pipeline.pipeline import Destinations

_LOCK = ".lock"
_TAKEN = frozenset({errno.EAGAIN, errno.EACCES})
"""What flock(2) says if another process has the lock; on NFS, the second."""
_ASKED_SECONDS = 0.2
_PATTERN = frozenset("*?[]\\")
_LOADING = "loading"
"""What the console calls all that comes before the first component."""


def run(settings: RunSettings, *, workdir: Path, verbose: bool = False, cache: bool = True) -> Run:
    """Run everything, from images to pushed models, and write the report.

    Args:
        settings: The configuration.
        workdir: Folder for everything that the run makes; made if it is missing.
        verbose: Show the log of TFX and TensorFlow on standard error too.
        cache: Take results of earlier runs if nothing they depend on has changed.

    Returns:
        The run, also if a gate refused the model and nothing was pushed.

    Raises:
        ConfigError: Settings that do not go together, a workdir that cannot be used or is in use.
        DataError: The data cannot be read, or should not be trained on.
        WeightsError: Pretrained weights cannot be had, or do not fit.
        TrainingError: Nothing was learned.
        ExportError: A model could not be exported.
        PushError: A blessed model could not be delivered.
        SubmitError: A job failed on the cluster that `beam` names.
        MachineError, MemoryShortage, DatabaseError, AccessError: A fault of this machine (`modules.core.faults`).
    """
    try:
        return _run(settings, workdir.resolve(), verbose, cache)
    except Exception as error:
        if (found := fault(error)) is None or found is error:
            raise
        raise found from error


def _run(settings: RunSettings, workdir: Path, verbose: bool, cache: bool) -> Run:
    _check_name("--workdir", str(workdir))
    _check_name("state.root", settings.state.root or "")
    log = workdir / "logs" / f"{settings.name}-{time.strftime('%Y%m%d-%H%M%S')}.log"
    flags = beam_flags(settings.beam)
    with _removed_if_nothing_began(workdir, log) as begin, only_run_in(workdir), capture(log, verbose) as terminal:
        logging.set_verbosity(logging.INFO)
        live = False if verbose else None
        # Importing TensorFlow and TFX takes longer than most components, and a minute on a busy machine.
        with gc_paused(), Console(terminal, [_LOADING], live) as console:
            console.started(_LOADING)
            database = places.metadata_db(settings, workdir)
            store = connection(settings.state.metadata, database)
            check(store)
            source = find_source(settings, workdir)
            begin()
            console.line(f"edgetune: {settings.name}, log in {log}")
            for note in source.notes:
                console.line(f"edgetune: data: {note}")
            device = check_run(settings, source, places.root(settings, workdir), flags, console.detail)
            if (processes := ingest_processes(settings.beam, source.images)) > 1:
                console.line(f"edgetune: {source.size}, which {processes} processes read")
            if warning := memory_warning(settings.beam, source.images):
                console.line(f"edgetune: warning: {warning}")
            console.line(f"edgetune: {device}")
            if device.warning:
                console.line(f"edgetune: warning: {device.warning}")
            console.detail(f"{source.size}, TensorFlow, TFX")
            database.parent.mkdir(parents=True, exist_ok=True)
            root, pushed = places.root(settings, workdir), places.pushed(settings, workdir)
            number_after(store, root)
            if swept := sweep(store, root):
                console.line(f"edgetune: removed {counted(len(swept), 'folder')} that a killed run left")
            for release in complete(pushed):
                console.line(f"edgetune: completed release {release.version}, which was interrupted")
            record_missing(store, settings.name, pushed)
            destinations = replace(_destinations(settings, workdir), after=reason_to_push(store, settings.name, pushed))
            pipeline = _build(settings, source, destinations, store, flags, cache)
            check_texts(store, pipeline)
            console.concluded(source.size)
            console.finished(_LOADING, "done")
        before = last_run(store, settings.name)
        supervisor.began(
            settings=settings.model_dump(mode="json"),
            store=store.SerializeToString().hex(),
            workdir=str(workdir),
            log=str(log),
            before=before,
        )
        nodes = [component.id for component in pipeline.components]
        with (
            Console(terminal, nodes, live) as console,
            progress.listening(console.detail, console.concluded),
            without_password(store),
        ):
            error = _execute(pipeline, console, settings.beam)
            if error is None and (again := superseded(outcome_of(store, settings.name, before))):
                console.line("edgetune: ReleasePusher again: the version that the cache has is not served any more")
                destinations = replace(destinations, after=again)
                error = _execute(_build(settings, source, destinations, store, flags, True), console, settings.beam)
        try:
            outcome = outcome_of(store, settings.name, before)
            report = report_of(outcome, workdir, settings, log, error)
        except Exception as failure:
            if error is None:
                raise
            logging.exception("the report could not be written")
            print("", f"the report could not be written: {said(failure)}", sep="\n", file=terminal, flush=True)
            raise error from failure
        supervisor.reported()
        print("", *map(for_terminal, summary(outcome, report=report)), sep="\n", file=terminal, flush=True)
    if error is not None:
        raise error
    if superseded(outcome):
        raise PushError(
            "ReleasePusher delivered a version that is not the newest: somebody else pushed meanwhile",
            "let one pipeline alone push to a destination; then run again",
        )
    return result(outcome, report, log)


def _check_name(what: str, path: str) -> None:
    """Reject a folder that TFX, Beam and TensorFlow would take for a pattern: they then find no file in it."""
    if found := sorted(set(path) & _PATTERN):
        raise ConfigError(
            f"{what} {path}: has {' and '.join(found)} in its name, which libraries take for a pattern of file names",
            "rename the folder, or name another one",
        )


@contextmanager
def _removed_if_nothing_began(workdir: Path, log: Path) -> Iterator[Callable[[], None]]:
    """Remove the files and folders that a run made if it ends with an error of the user before the yielded call."""
    wanted = [log, workdir / _LOCK]
    made = [path for path in (*wanted, log.parent, workdir, *workdir.parents) if not path.exists()]
    began = False

    def begin() -> None:
        nonlocal began
        began = True

    try:
        yield begin
    except EdgetuneError:
        if not began:
            for path in made:
                # It may not have been made, and another run may have put something beside it.
                with suppress(OSError):
                    path.unlink() if path in wanted else path.rmdir()
        raise


@contextmanager
def only_run_in(workdir: Path) -> Iterator[None]:
    """Lock the workdir for this process: two runs at once would write into one database.

    Raises:
        ConfigError: Another process uses the workdir, or it cannot be written.
        MachineError: Its file system has no locks.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        # A link would lead to another file, which opening it for writing would empty.
        handle = os.open(workdir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
        lock = os.fdopen(handle, "rb")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ConfigError(f"{workdir / _LOCK}: is a link", "remove it, or name another --workdir") from None
        raise ConfigError(f"--workdir {workdir}: cannot be written: {error.strerror}", "name another folder") from None
    with lock:
        free = _locked(lock, workdir / _LOCK)
        if not free:  # it may be `is_in_use` that has it, for a moment
            time.sleep(_ASKED_SECONDS)
            free = _locked(lock, workdir / _LOCK)
        if not free:
            raise ConfigError(
                f"--workdir {workdir}: another run is using it", "wait for its end, or name another folder"
            )
        yield


def is_in_use(workdir: Path) -> bool:
    """Return whether a run, or another command that changes it, is using a workdir."""
    try:
        lock = (workdir / _LOCK).open("rb")
    except OSError:  # nobody has ever used it
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in _TAKEN
    return False


def _locked(lock: BinaryIO, path: Path) -> bool:
    """Take a lock, and return whether nobody else has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise MachineError(
            f"{path}: cannot be locked: {error.strerror}; two runs at once would destroy each other's records",
            "name a --workdir on a local disk, or mount its file system with locks (NFS: run the lock service)",
        ) from None
    return True


def _destinations(settings: RunSettings, workdir: Path) -> Destinations:
    from edgetune.pipeline.pipeline import Destinations

    pushed = places.pushed(settings, workdir)
    return Destinations(places.root(settings, workdir), pushed.saved_model, pushed.edge)


def _build(settings: RunSettings, source: Source, destinations: Destinations, *others: Any) -> Pipeline:
    from edgetune.pipeline.pipeline import create_pipeline

    return create_pipeline(settings, source, destinations, *others)


def _execute(pipeline: Pipeline, console: Console, beam: BeamSettings) -> BaseException | None:
    """Run a pipeline, and return what stopped it, or None."""
    from edgetune.pipeline.local.observed_runner import run_observed

    try:
        run_observed(pipeline, console)
    except EdgetuneError as error:
        return error
    except KeyboardInterrupt as error:
        return error
    except Exception as error:  # noqa: BLE001 - the report has it, too
        found = engine_failure(error, beam) or fault(error)
        logging.exception("%s", found or "the run ended with an error that edgetune does not know")
        return found or error
    return None
