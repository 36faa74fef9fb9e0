"""Running the pipeline on this machine: TFX's BeamDagRunner, with ML Metadata in a sqlite file in the workdir.

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

from modules import progress
from modules.errors import ConfigError, EdgetuneError, NotBlessed, PushError
from modules.findings import Refused
from modules.settings import RunSettings
from pipeline.console import Console
from pipeline.log_capture import capture
from pipeline.outcome import Outcome, read_outcome
from pipeline.report import summary, write_report

if TYPE_CHECKING:
    from tfx.orchestration.pipeline import Pipeline

    from modules.sources import Source


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
    """
    workdir = workdir.resolve()
    log = workdir / "logs" / f"{settings.name}-{time.strftime('%Y%m%d-%H%M%S')}.log"
    with _only_run_in(workdir), capture(log, verbose) as terminal:
        print(f"edgetune: {settings.name}, log in {log}", file=terminal, flush=True)
        logging.set_verbosity(logging.INFO)
        source = _preflight(settings, workdir)
        pipeline, metadata_db = _build(settings, source, workdir, cache)
        nodes = [component.id for component in pipeline.components]
        with Console(terminal, nodes, live=False if verbose else None) as console, progress.listening(console.detail):
            error = _execute(pipeline, console)
        outcome = read_outcome(metadata_db, settings.name)
        folder = workdir / "reports" / settings.name / outcome.run_id
        # Of a component that fails, TFX removes what it wrote: its findings are in the error.
        report = write_report(
            outcome,
            folder,
            settings=settings,
            log=log,
            error=str(error) if error else None,
            findings=error.found if isinstance(error, Refused) else None,
        )
        print("", *summary(outcome, report=report), sep="\n", file=terminal, flush=True)
    if error is not None:
        raise error
    if not outcome.blessed:
        raise NotBlessed("; ".join(outcome.reasons), f"nothing was pushed; {report} shows the measurements")
    if missing := [path for path in outcome.pushed if not path.exists()]:
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


def _preflight(settings: RunSettings, workdir: Path) -> Source:
    """Everything that can be found wrong in seconds is found before TFX is even imported."""
    from modules.digits import EMBEDDED, write_digits
    from modules.sources import discover

    data = settings.data
    if data.path == EMBEDDED:
        data = data.model_copy(update={"path": str(write_digits(workdir / "data" / "digits"))})
    source = discover(data)
    from modules.preflight import check_network, check_push  # imports TensorFlow, which takes longer than all above

    check_push(settings.push)
    check_network(settings.model, settings.training)
    return source


def _build(settings: RunSettings, source: Source, workdir: Path, cache: bool) -> tuple[Pipeline, Path]:
    from tfx.orchestration import metadata

    from pipeline.observed_runner import IN_PROCESS
    from pipeline.pipeline import Places, create_pipeline

    pushed = workdir / "pushed" / settings.name
    metadata_db = workdir / "tfx_metadata" / settings.name / "metadata.db"
    places = Places(
        root=str(workdir / "tfx_pipeline_output" / settings.name),
        saved_model=settings.push.saved_model or str(pushed / "saved_model"),
        edge=settings.push.edge or str(pushed / "edge"),
    )
    connection = metadata.sqlite_metadata_connection_config(str(metadata_db))
    beam_args = [f"--runner={IN_PROCESS}"]
    return create_pipeline(settings, source, places, connection, beam_args, cache), metadata_db


def _execute(pipeline: Pipeline, console: Console) -> EdgetuneError | None:
    from pipeline.observed_runner import run_observed

    try:
        run_observed(pipeline, console)
    except EdgetuneError as error:
        return error
    return None
