"""Run in a child process, and tell what ended it if it cannot tell itself: a signal, the system, a crash of C++.

A signal must not become a Python exception in the process that runs TensorFlow: raised where C++ calls Python, or
while TensorFlow's threads wait for the interpreter to end, it aborts the process. So the process that the user started
imports nothing heavy and waits. At a signal it kills the child, which any later run resumes from (every publication is
atomic), ends what the child has started, and only then writes the report.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from edgetune.modules.core.child_process import ending
from edgetune.modules.core.errors import EdgetuneError, MemoryShortage, ProcessKilled
from edgetune.modules.core.faults import AGAIN, memory_shortage
from edgetune.modules.storage.leftovers import temporary_folder

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_KILLS = Path("/proc/vmstat")
_POLL_SECONDS = 0.05
_END_BYTES = 1 << 14
_SHOW_CURSOR = "\x1b[?25h"

_facts: int | None = None
"""Descriptor of memory that both processes have: what the child writes before it ends, the parent reads after."""


@dataclass(frozen=True)
class Interrupted:
    """A signal ended the run, which a later one resumes."""

    number: int

    def __str__(self) -> str:
        by = "Ctrl-C" if self.number == signal.SIGINT else signal.Signals(self.number).name
        return f"interrupted by {by}\n  remedy: {AGAIN}"

    @property
    def exit_code(self) -> int:
        """As a shell has it for a process that ended by this signal: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.number


def supervise(work: Callable[[], int]) -> int | Interrupted | EdgetuneError:
    """Run `work` in a child process, and return its exit code, or what ended it.

    The child dies with this process. A second signal skips the report, and a third ends this process at once. Temporary
    files of the child, of its libraries and of what it starts are in a folder of their own, which is removed at the
    end; one that a killed process left is removed by the next.

    Args:
        work: Returns an exit code.

    Raises:
        OSError: No folder for temporary files can be written.
    """
    with temporary_folder() as folder:
        return _supervise(work, folder)


def _supervise(work: Callable[[], int], temporary: Path) -> int | Interrupted | EdgetuneError:
    global _facts
    _facts = os.memfd_create("edgetune")
    received: list[int] = []
    child = 0
    reporting = False

    def end(number: int, _: object) -> None:
        # Not at the second one at once: what the child had started would go on.
        if received and (reporting or len(received) > 1):
            os._exit(128 + received[0])
        received.append(number)
        if child:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(child, signal.SIGKILL)

    handled = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]  # as after `nohup`
    before = {number: signal.signal(number, end) for number in handled}
    _prctl(_SET_CHILD_SUBREAPER, 1)
    kills, others = _kills(), _children()
    _flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _use(temporary)
        _be_child(work, handled, parent)
    if received:  # between the two processes
        os.kill(child, signal.SIGKILL)
    # Python calls a handler of signals between two instructions: one that comes just before a call that waits for the
    # child would be heard when the child ends.
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        time.sleep(_POLL_SECONDS)
    child = 0
    _end_descendants(others)
    code = os.waitstatus_to_exitcode(ended[1])
    if code >= 0:  # it ended by itself, before any signal
        for number, handler in before.items():
            signal.signal(number, handler)
        return code
    by = received[0] if received else -code
    content = os.pread(_facts, os.fstat(_facts).st_size, 0)
    facts = json.loads(content) if content else None
    log = _end_of(facts["log"]) if facts and by not in _ENDING else ""
    why = Interrupted(by) if by in _ENDING else _killed(by, _kills() > kills, log)
    if sys.stdout is not None and sys.stdout.isatty():
        print(_SHOW_CURSOR)
    reporting = True
    if facts is not None and len(received) < 2:
        _report(facts, str(why))
    return why


def began(**facts: Any) -> None:
    """Note what the report needs if this process is killed: arguments of `aftermath.write`, as JSON has them."""
    if _facts is not None:
        os.ftruncate(_facts, 0)
        os.pwrite(_facts, json.dumps(facts, default=str).encode(), 0)


def reported() -> None:
    """Note that the report is written, so that none is needed."""
    if _facts is not None:
        os.ftruncate(_facts, 0)


def _be_child(work: Callable[[], int], handled: list[signal.Signals], parent: int) -> NoReturn:
    code = EdgetuneError.exit_code
    try:
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            for number in handled:
                signal.signal(number, signal.SIG_DFL)
            code = work()
        _flush()
    finally:
        # Not by Python's own end: threads of TensorFlow that still ask for the interpreter's lock would abort.
        os._exit(code)


def _use(temporary: Path) -> None:
    """Put the temporary files of this process and its children into a folder."""
    # TensorFlow Hub keeps models beside temporary files, for later runs.
    os.environ.setdefault("TFHUB_CACHE_DIR", str(Path(tempfile.gettempdir(), "tfhub_modules")))
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # Python's for a closed descriptor
            stream.flush()


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_descendants(before: set[int]) -> None:
    """Kill what the child had started: as orphans, they are children of this process now.

    Those of another session are somebody else's: the first process of a container gets the orphans of all.

    Args:
        before: Children of this process that are older than the run.
    """
    while children := _children() - before:
        for process in children:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _children() -> set[int]:
    """Return the children of this process that are of its session."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                _, parent, _, session, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            if (int(parent), int(session)) == (os.getpid(), os.getsid(0)):
                found.add(int(folder.name))
    return found


def _kills() -> int:
    """Return the number of processes that this system has killed for lack of memory."""
    try:
        lines = _KILLS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _killed(number: int, for_memory: bool, log: str) -> EdgetuneError:
    """Return what a signal means that somebody else sent to the run, or that it sent itself.

    Args:
        number: The signal.
        for_memory: Whether the system has killed any process for lack of memory meanwhile.
        log: The last lines of the log.
    """
    remedy = "close other programs, give the machine or the container more memory, or lower training.batch_size; then "
    if number == signal.SIGKILL and for_memory:
        return MemoryShortage(
            "the run was killed (SIGKILL), most likely by the system, which killed for lack of memory meanwhile",
            remedy + AGAIN,
        )
    if number == signal.SIGKILL:
        return ProcessKilled("the run was killed (SIGKILL), by somebody or by the system, for memory", remedy + AGAIN)
    return memory_shortage(log) or ProcessKilled(
        f"the run ended with {ending(-number)} in the native code of a library",
        f"{AGAIN}; if it happens again, look for the cause at the end of the log: with too little memory, libraries "
        "end like this too",
    )


def _end_of(log: str) -> str:
    with contextlib.suppress(OSError), open(log, "rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - _END_BYTES, 0))
        return file.read().decode(errors="replace")
    return ""


def _report(facts: dict[str, Any], error: str) -> None:
    """Write the report of a run that had begun."""
    from edgetune.pipeline.local import aftermath

    try:
        aftermath.write(**facts, error=error)
    except Exception as failure:  # noqa: BLE001 - why the run ended matters more
        print(f"the report could not be written: {aftermath.said(failure)}", file=sys.stderr)
