"""A run on a platform: the request, the submitted run, and waiting for its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgetune.modules.core.errors import NotBlessed, SubmitError
from edgetune.pipeline.submit.specification import Specification

PAUSE_SECONDS = 15.0
# Give up after this many failed requests in a row; fewer may be a short network problem.
_PATIENCE = 8


@dataclass(frozen=True)
class Request:
    """A request to run a pipeline on a platform."""

    specification: Specification
    values: dict[str, Any]
    """Runtime parameters by name, with the types that the specification declares."""
    name: str
    """Name of the run on the platform."""
    experiment: str | None = None
    """Experiment to file the run under; None for the platform's default."""
    cache: bool = True
    """False runs every component again; True uses what was compiled."""
    service_account: str | None = None
    """Account that the components run as; None for the platform's default."""


@dataclass(frozen=True)
class State:
    """State of a run."""

    name: str
    """The platform's name of the state, such as `running`."""
    ended: bool
    succeeded: bool
    reason: str = ""
    """If the run failed: the messages of the platform and its tasks."""
    refused: str = ""
    """If the run succeeded but a gate refused the model: the reasons; empty if the platform does not pass them on."""


@dataclass(frozen=True)
class Submitted:
    """A run that the platform has accepted."""

    identifier: str
    url: str
    """Page of the run."""
    state: Callable[[], State]
    """Requests the state from the platform; raises SubmitError if it does not answer."""


def follow(run: Submitted, report: Callable[[str], None]) -> None:
    """Wait until a run has ended.

    Args:
        run: The run.
        report: Called with the name of each new state of the run.

    Raises:
        SubmitError: The run did not succeed, or the platform no longer answers.
        NotBlessed: The run succeeded, but a gate refused the model.
    """
    seen, unanswered = "", 0
    while True:
        try:
            state = run.state()
            unanswered = 0
        except SubmitError:
            unanswered += 1
            if unanswered == _PATIENCE:
                raise
        else:
            if state.name != seen:
                report(seen := state.name)
            if state.ended:
                break
        time.sleep(PAUSE_SECONDS)
    if not state.succeeded:
        why = f": {state.reason}" if state.reason else ""
        raise SubmitError(f"run {run.identifier} {state.name}{why}", f"see the log of each task at {run.url}")
    if state.refused:
        raise NotBlessed(
            f"run {run.identifier}: {state.refused}", f"nothing was pushed; see the evaluations at {run.url}"
        )
