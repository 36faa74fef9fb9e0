"""Processes that end with the tests: each leads a process group, so that its children end with it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_STOP_SECONDS = 10
_DIES_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux, so that a killed test run leaves nothing behind."""


class Processes:
    """Processes that are started one by one and stopped together.

    Args:
        folder: Working directory of all processes; the output of each goes to `<name>.log` in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a command; `environment` is added to that of this process."""
        with (self._folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=self._folder,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    @property
    def groups(self) -> dict[str, int]:
        """Return the ids of the process groups by name."""
        return {name: process.pid for name, process in self._running.items()}

    def check(self) -> None:
        """Check that all processes are running.

        Raises:
            RuntimeError: A process has ended; the message has the end of its log.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                log = self._folder / f"{name}.log"
                last = log.read_text(encoding="utf-8", errors="replace")[-3000:]
                raise RuntimeError(f"{name} ended with {process.returncode}: {log}\n{last}")

    def stop(self) -> None:
        """End all processes, with SIGTERM first."""
        for process in self._running.values():
            _signal(process, signal.SIGTERM)
        end = time.monotonic() + _STOP_SECONDS
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
        for process in self._running.values():
            # Also if the leader has ended, since its children may be running.
            _signal(process, signal.SIGKILL)
            process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGTERM)
