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

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from absl import logging

from edgetune.modules.core import progress
from edgetune.modules.core.errors import ConfigError, EdgetuneError, NotBlessed, PushError
from edgetune.modules.core.gc_pause import gc_paused
from edgetune.modules.data.findings import FindingsError, UnusableFiles
from edgetune.modules.settings.execution import BeamSettings
from edgetune.modules.settings.run import RunSettings
from edgetune.modules.storage import filesystem
from edgetune.pipeline.beam.check import check_engine
from edgetune.pipeline.beam.failure import engine_failure
from edgetune.pipeline.beam.flags import beam_flags, ingest_processes, memory_warning
from edgetune.pipeline.local.url_check import check_places
from edgetune.pipeline.metadata.outcome import Outcome, read_outcome
from edgetune.pipeline.metadata.store import check, check_texts, connection, without_password
from edgetune.pipeline.report import summary, write_report
from edgetune.pipeline.terminal.console import Console
from edgetune.pipeline.terminal.log_capture import capture

if TYPE_CHECKING:
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig
    from tfx.orchestration.pipeline import Pipeline

    from edgetune.modules.data.sources import Source
    from edgetune.modules.training.devices import Choice

_LOADING = "loading"
"""What the console calls all that comes before the first component."""


def run(settings: RunSettings, *, workdir: Path, verbose: bool = False, cache: bool = True) -> Outcome:
    """Runs everything, from images to pushed models, and writes the report.

    Args:
        settings: The configuration.
        workdir: Folder for all that the run makes; made where it is missing.
        verbose: Show the log of TFX and TensorFlow on standard error too.
        cache: Take results of earlier runs where nothing they depend on has changed.

    Raises:
        ConfigError: Settings that do not go together, a workdir that cannot be used or is in use.
        DataError: The data cannot be read, or should not be trained on.
        WeightsError: Pretrained weights cannot be had, or do not fit.
        TrainingError: Nothing was learned.
        ExportError: A model could not be exported.
        PushError: A blessed model could not be delivered.
        NotBlessed: A gate refused the model; nothing was pushed.
        SubmitError: A job failed on the cluster that `beam` names.
    """
    workdir = workdir.resolve()
    log = workdir / "logs" / f"{settings.name}-{time.strftime('%Y%m%d-%H%M%S')}.log"
    with _only_run_in(workdir), capture(log, verbose) as terminal:
        print(f"edgetune: {settings.name}, log in {log}", file=terminal, flush=True)
        logging.set_verbosity(logging.INFO)
        live = False if verbose else None
        # Importing TensorFlow and TFX takes longer than most components, and a minute on a machine that is busy.
        with gc_paused(), Console(terminal, [_LOADING], live) as console:
            console.started(_LOADING)
            source, device = _preflight(settings, workdir, console)
            if (processes := ingest_processes(settings.beam, source.images)) > 1:
                console.line(f"edgetune: {source.images:,} images, which {processes} processes read")
            if warning := memory_warning(settings.beam, source.images):
                console.line(f"edgetune: warning: {warning}")
            console.line(f"edgetune: {device}")
            if device.warning:
                console.line(f"edgetune: warning: {device.warning}")
            console.detail(f"{source.images:,} images, TensorFlow, TFX")
            store = _metadata(settings, workdir)
            pipeline = _build(settings, source, store, workdir, cache)
            check_texts(store, pipeline)
            console.finished(_LOADING, "done")
        nodes = [component.id for component in pipeline.components]
        with (
            Console(terminal, nodes, live) as console,
            progress.listening(console.detail),
            without_password(store),
        ):
            error = _execute(pipeline, console, settings.beam)
        outcome = read_outcome(store, settings.name)
        folder = workdir / "reports" / settings.name / outcome.run_id
        # Of a component that fails, TFX removes what it wrote: its findings are in the error.
        report = write_report(
            outcome,
            folder,
            settings=settings,
            log=log,
            error=str(error) if error else None,
            findings=error.found if isinstance(error, FindingsError) else None,
            rejected=error if isinstance(error, UnusableFiles) else None,
        )
        print("", *summary(outcome, report=report), sep="\n", file=terminal, flush=True)
    if error is not None:
        raise error
    if not outcome.blessed:
        raise NotBlessed("; ".join(outcome.reasons), f"nothing was pushed; {report} shows the measurements")
    if missing := [path for path in outcome.pushed if not filesystem.exists(path)]:
        raise PushError(
            f"{missing[0]} was pushed by an earlier run and is gone",
            "run with --no-cache to make and push it again",
        )
    return outcome


@contextmanager
def _only_run_in(workdir: Path) -> Iterator[None]:
    """Holds the workdir for this process: two runs at once would write into one database."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = (workdir / ".lock").open("w")
    except OSError as error:
        raise ConfigError(f"--workdir {workdir}: cannot be written: {error.strerror}", "name another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"--workdir {workdir}: another run is using it", "wait for its end, or name another folder"
            ) from None
        yield


def _preflight(settings: RunSettings, workdir: Path, console: Console) -> tuple[Source, Choice]:
    """Everything that can be found wrong in seconds is found before TFX is even imported: what the images are, and
    where the network is trained."""
    from edgetune.modules.data.digits import EMBEDDED, write_digits
    from edgetune.modules.data.sources import discover

    data = settings.data
    if data.path == EMBEDDED:
        data = data.model_copy(update={"path": str(write_digits(workdir / "data" / "digits"))})
    source = discover(data)
    seen_by_workers = {"data.path": data.path, "state.root": _root(settings, workdir)}
    check_engine(settings.beam, beam_flags(settings.beam), seen_by_workers)
    # It imports TensorFlow, which takes longer than all above.
    console.detail(f"{source.images:,} images, TensorFlow")
    from edgetune.pipeline.local.preflight import check_devices, check_network, check_push

    device = check_devices(settings.training)
    push = settings.push
    places = {"state.root": settings.state.root, "push.saved_model": push.saved_model, "push.edge": push.edge}
    check_places(places, beam_flags(settings.beam))
    check_push(settings.push)
    check_network(settings.model, settings.training)
    return source, device


def _root(settings: RunSettings, workdir: Path) -> str:
    """Folder or URL of the pipeline's artifacts."""
    return f"{settings.state.root or workdir / 'tfx_pipeline_output'}".rstrip("/") + f"/{settings.name}"


def _metadata(settings: RunSettings, workdir: Path) -> ConnectionConfig:
    metadata_db = workdir / "tfx_metadata" / settings.name / "metadata.db"
    metadata_db.parent.mkdir(parents=True, exist_ok=True)
    store = connection(settings.state.metadata, metadata_db)
    check(store)
    return store


def _build(settings: RunSettings, source: Source, metadata: ConnectionConfig, workdir: Path, cache: bool) -> Pipeline:
    from edgetune.pipeline.pipeline import Destinations, create_pipeline

    pushed = workdir / "pushed" / settings.name
    places = Destinations(
        root=_root(settings, workdir),
        saved_model=settings.push.saved_model or str(pushed / "saved_model"),
        edge=settings.push.edge or str(pushed / "edge"),
    )
    return create_pipeline(settings, source, places, metadata, beam_flags(settings.beam), cache)


def _execute(pipeline: Pipeline, console: Console, beam: BeamSettings) -> EdgetuneError | None:
    from edgetune.pipeline.local.observed_runner import run_observed

    try:
        run_observed(pipeline, console)
    except EdgetuneError as error:
        return error
    except Exception as error:
        if (failure := engine_failure(error, beam)) is None:
            raise
        logging.exception("%s", failure)
        return failure
    return None
