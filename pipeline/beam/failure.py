"""A job that failed on a cluster, told from a defect of edgetune, in one sentence out of pages of stack traces."""

from __future__ import annotations

import re

from edgetune.modules.core.errors import SubmitError
from edgetune.modules.settings.execution import BeamSettings

# What Beam's portable runners raise when a job ends badly, and its client of Flink's REST endpoint when it is refused.
_FAILED = re.compile(r"Pipeline \S+ failed in state (?P<state>\w+): (?P<why>.*)", re.S)
_REFUSED = re.compile(r"Request to \S+ failed with status (?P<state>\d+): (?P<why>.*)", re.S)
_LOST = ("Max retries exceeded with url", "StatusCode.UNAVAILABLE")
_SYSTEM = re.compile(r"\[Errno \d+\] ([A-Z][a-z ]+)")

_PYTHON = "Traceback (most recent call last)"
_RAISED = re.compile(r"^(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt)\b.*$", re.M)
_CAUSED = re.compile(r"Caused by: (.+)")
_LONGEST = 300


def engine_failure(error: Exception, beam: BeamSettings) -> SubmitError | None:
    """The error in words for a user; None where the engine is this process, or had no part in it."""
    if beam.runner == "direct":
        return None
    text = str(error)
    where = f"{beam.runner} ({beam.job_server or beam.master or beam.project})"
    remedy = 'the log has all of it, and so has the engine\'s own; docs/beam.md, "When a job fails"'
    if found := _FAILED.search(text):
        return SubmitError(f"a job ended on {where} as {found['state']}: {reason(found['why'])}", remedy)
    if found := _REFUSED.search(text):
        return SubmitError(f"{where} refused a job with {found['state']}: {reason(found['why'])}", remedy)
    if any(sign in text for sign in _LOST):
        told = _SYSTEM.search(text)
        return SubmitError(f"{where} does not answer any more: {told[1] if told else _first_line(text)}", remedy)
    return None


def reason(trace: str) -> str:
    """The innermost reason in a stack trace of Java, or of Python inside one of Java."""
    trace = trace.replace("\\n", "\n").replace("\\t", "\t")
    if _PYTHON in trace and (raised := _RAISED.findall(trace.rpartition(_PYTHON)[2])):
        return _first_line(raised[0])
    caused = _CAUSED.findall(trace)
    return _first_line(caused[-1] if caused else trace)


def _first_line(text: str) -> str:
    line = next(iter(text.strip().splitlines()), "no reason is given").strip()
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
