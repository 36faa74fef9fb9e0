"""Ask a SavedModel in a fresh process, with bounds on its time and memory.

A model that hangs, takes all memory or aborts in C++ must not do so in the process of the pipeline, nor in a server.
How the process ends is one of the findings.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass

from edgetune.modules.core import child_process
from edgetune.modules.serving import infra_probe
from edgetune.modules.serving.infra_probe import Findings, Request

_EVERY = 0.05  # seconds between two looks at the process's memory
_MOST = 8 << 20  # bytes read from the child's output
_PROGRAM = infra_probe.__name__


@dataclass(frozen=True)
class Bounds:
    """Of the process."""

    seconds: int
    memory: int
    """Resident memory in bytes."""


@dataclass(frozen=True)
class Result:
    """What the process found, and what it took."""

    findings: Findings
    seconds: float
    """From its start to its end."""
    peak_memory: int
    """Largest resident memory seen, in bytes; it is looked at 20 times a second."""
    end: str = ""
    """How it ended by itself before it had asked everything, such as by a crash; empty if it did not."""


def check(request: Request, bounds: Bounds) -> Result:
    """Ask the SavedModel in a child process.

    Args:
        request: What is asked. Its files must exist while this runs.
        bounds: The process is stopped when it reaches one.
    """
    with (
        tempfile.NamedTemporaryFile("w", prefix="edgetune-", suffix=".json", encoding="utf-8") as file,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        json.dump(asdict(request) | {"seconds": bounds.seconds}, file)
        file.flush()
        started = time.monotonic()
        process = child_process.start(_PROGRAM, file.name, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        peak, stopped = 0, False
        try:
            while process.poll() is None and not stopped:
                peak = max(peak, child_process.peak_memory(process.pid))
                stopped = peak > bounds.memory or time.monotonic() - started > bounds.seconds
                if not stopped:
                    time.sleep(_EVERY)
        finally:
            process.kill()
            code = process.wait()
        seconds = time.monotonic() - started
        output.seek(0)
        lines = output.read(_MOST).decode(errors="replace").split("\n")[:-1]  # the last may be cut off
        errors.seek(0)
        said = errors.read(_MOST).decode(errors="replace").split("\n")
    told = [line.removeprefix(infra_probe.MARK) for line in lines if line.startswith(infra_probe.MARK)]
    findings, end = Findings(**json.loads(told[-1])) if told else Findings(), ""
    if not stopped and (code or findings.doing != infra_probe.DONE):
        last = next((line.strip()[:300] for line in reversed(said) if line.strip()), "")
        end = f"ended with {child_process.ending(code)} while {findings.doing}" + (f": {last}" if last else "")
    return Result(findings, seconds, peak, end)
