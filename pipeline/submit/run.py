"""A run on a platform: what is asked for, what comes back, and following it to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgetune.modules.core.errors import NotBlessed, SubmitError
from edgetune.pipeline.submit.specification import Specification

PAUSE_SECONDS = 15.0
# A platform that does not answer for this many questions in a row is gone; before, the network may have had a moment.
_PATIENCE = 8


@dataclass(frozen=True)
class Request:
    """What a platform is asked to run."""

    specification: Specification
    values: dict[str, Any]
    """Runtime parameters by name, of the types that the specification declares."""
    name: str
    """What the platform calls the run."""
    experiment: str | None = None
    """What it is filed under; None for the platform's default."""
    cache: bool = True
    """False runs every component again. True leaves it at what was compiled."""
    service_account: str | None = None
    """Whom the components run as; None for the platform's default."""


@dataclass(frozen=True)
class State:
    """How far a run is."""

    name: str
    """In the platform's word, such as `running`."""
    ended: bool
    succeeded: bool
    reason: str = ""
    """Of a run that did not succeed: what the platform and its tasks say."""
    refused: str = ""
    """Of a run that succeeded and pushed nothing: what a gate said; empty where the platform does not tell."""


@dataclass(frozen=True)
class Submitted:
    """A run that the platform has taken."""

    identifier: str
    url: str
    """Page of the run."""
    state: Callable[[], State]
    """Asks the platform; raises SubmitError where it does not answer."""


def follow(run: Submitted, report: Callable[[str], None]) -> None:
    """Waits until a run has ended.

    Args:
        run: The run.
        report: Gets the name of each state that the run comes into.

    Raises:
        SubmitError: The run did not succeed, or the platform answers no more.
        NotBlessed: It succeeded, and a gate refused the model.
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
        raise SubmitError(f"run {run.identifier} {state.name}{why}", f"the log of each task is at {run.url}")
    if state.refused:
        raise NotBlessed(
            f"run {run.identifier}: {state.refused}", f"nothing was pushed; see the evaluations at {run.url}"
        )
