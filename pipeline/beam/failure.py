"""Recognize failures of a job on a cluster, and reduce pages of stack traces to one sentence."""

from __future__ import annotations

import re

from edgetune.modules.core.errors import SubmitError
from edgetune.modules.settings.execution import BeamSettings

# Errors of Beam's portable runners when a job fails, and of its client of Flink's REST API when a request is rejected.
_FAILED = re.compile(r"Pipeline \S+ failed in state (?P<state>\w+): (?P<why>.*)", re.S)
_REFUSED = re.compile(r"Request to \S+ failed with status (?P<state>\d+): (?P<why>.*)", re.S)
_LOST = ("Max retries exceeded with url", "StatusCode.UNAVAILABLE")
_SYSTEM = re.compile(r"\[Errno \d+\] ([A-Z][a-z ]+)")

_PYTHON = "Traceback (most recent call last)"
_RAISED = re.compile(r"^(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt)\b.*$", re.M)
_CAUSED = re.compile(r"Caused by: (.+)")
_LONGEST = 300


def engine_failure(error: Exception, beam: BeamSettings) -> SubmitError | None:
    """Return the error as a user should read it; None if the engine is this process or did not cause the error."""
    if beam.runner == "direct":
        return None
    text = str(error)
    where = f"{beam.runner} ({beam.job_server or beam.master or beam.project})"
    remedy = 'see the log, the engine\'s own log, and "When a job fails" in docs/beam.md'
    if found := _FAILED.search(text):
        return SubmitError(f"a job ended on {where} as {found['state']}: {reason(found['why'])}", remedy)
    if found := _REFUSED.search(text):
        return SubmitError(f"{where} rejected a job with {found['state']}: {reason(found['why'])}", remedy)
    if any(sign in text for sign in _LOST):
        system = _SYSTEM.search(text)
        return SubmitError(f"{where} no longer answers: {system[1] if system else _first_line(text)}", remedy)
    return None


def reason(trace: str) -> str:
    """Return the innermost cause in a Java stack trace, or in a Python traceback inside a Java stack trace."""
    trace = trace.replace("\\n", "\n").replace("\\t", "\t")
    if _PYTHON in trace and (raised := _RAISED.findall(trace.rpartition(_PYTHON)[2])):
        return _first_line(raised[0])
    caused = _CAUSED.findall(trace)
    return _first_line(caused[-1] if caused else trace)


def _first_line(text: str) -> str:
    line = next(iter(text.strip().splitlines()), "no reason given").strip()
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
