"""Write the report of a run that has ended, however it ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.modules.core.errors import EdgetuneError
from edgetune.modules.core.faults import AGAIN
from edgetune.modules.core.untrusted_text import for_terminal
from edgetune.modules.data.findings import FindingsError, UnusableFiles
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.local import places
from edgetune.pipeline.metadata.outcome import Outcome, last_run, read_outcome
from edgetune.pipeline.report import summary, write_index, write_report

if TYPE_CHECKING:
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig


def outcome_of(store: ConnectionConfig, name: str, before: str | None) -> Outcome:
    """Return the outcome of a run; without any node if it ended before it was recorded.

    Args:
        store: ML Metadata.
        name: Name of the pipeline.
        before: Id of the latest run before this one; None if there was none.
    """
    if last_run(store, name) == before:
        return Outcome(name, f"unrecorded-{time.strftime('%Y%m%d-%H%M%S')}", ())
    return read_outcome(store, name)


def report_of(
    outcome: Outcome, workdir: Path, settings: RunSettings, log: Path, error: BaseException | str | None
) -> Path:
    """Write the report of a run and the index of all runs, and return the page of the report.

    Args:
        outcome: As ML Metadata has it.
        workdir: Of the run.
        settings: Of the run.
        log: Its log.
        error: What stopped it; None if nothing did.
    """
    # Of a component that fails, TFX removes what it wrote: its findings are in the error.
    page = write_report(
        outcome,
        workdir / "reports" / settings.name / outcome.run_id,
        settings=settings,
        log=log,
        error=said(error) if error is not None else None,
        findings=[*error.found, *error.others] if isinstance(error, FindingsError) else None,
        rejected=error if isinstance(error, UnusableFiles) else None,
        places=places.pushed(settings, workdir),
    )
    try:
        write_index(workdir / "reports")
    except Exception:  # the report is there
        logging.exception("the index of the reports could not be written")
    return page


def said(error: BaseException | str) -> str:
    """Return an error as the report has it."""
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted\n  remedy: {AGAIN}"
    if isinstance(error, str | EdgetuneError):
        return str(error)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"


def write(settings: Mapping[str, Any], store: str, workdir: str, log: str, before: str | None, error: str) -> None:
    """Write the report of a run whose process is gone, and print the last lines that it would have printed.

    Args:
        settings: Its settings, as JSON has them.
        store: Connection to ML Metadata, serialized, as hexadecimal digits.
        workdir: Its folder.
        log: Its log.
        before: As of `outcome_of`.
        error: What ended it.
    """
    from ml_metadata.proto import metadata_store_pb2 as pb

    from edgetune.pipeline.terminal.log_capture import capture

    valid = RunSettings.model_validate(settings)
    with capture(Path(log)) as terminal:
        try:
            outcome = outcome_of(pb.ConnectionConfig.FromString(bytes.fromhex(store)), valid.name, before)
            page = report_of(outcome, Path(workdir), valid, Path(log), error)
            lines = [f"{node} did not finish" for node in outcome.failed] + summary(outcome, report=page)
        except Exception as failure:  # the run has ended anyway
            logging.exception("the report could not be written")
            lines = [f"the report could not be written: {said(failure)}"]
        print("", *map(for_terminal, lines), f"log        {log}", sep="\n", file=terminal, flush=True)
