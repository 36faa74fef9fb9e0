"""Start edgetune's child processes, and other modules, as forks of a process that has imported TensorFlow already."""

from __future__ import annotations

import atexit
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from edgetune.modules.core import child_process
from edgetune.modules.core.package_paths import ROOT
from tests.programs import fork_server

# What the child processes of edgetune import, and the programs of the tests. None of these uses TensorFlow when it is
# imported: its devices must be set up in the fork.
_IMPORTED = (
    "tests.programs",  # first: IPython, which TensorFlow imports, has a package of that name on the path
    "tensorflow",
    "keras",
    "edgetune.modules.bundle.isolated_model",
    "edgetune.modules.bundle.probe",
    "edgetune.modules.conversion.convert",
    "edgetune.modules.conversion.converter",
    "edgetune.modules.litert.crash_probe",
    "edgetune.modules.litert.interpreter",
)
_SECONDS = 300
_start = child_process.start


class ForkServer:
    """A server, as a context; `command` makes it run a module."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it; the folder that `modules` are imported from is in `PYTHONPATH` of `environment`."""
        self._folder = tempfile.TemporaryDirectory(prefix="edgetune-tests-")
        self._socket, self._log = (Path(self._folder.name, name) for name in ("socket", "log"))
        command = [sys.executable, fork_server.__file__, "serve", str(self._socket), *modules]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder.name, env=dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def command(self, module: str, *arguments: str) -> list[str]:
        """Return a command that does what `python -m module arguments` does."""
        until = time.monotonic() + _SECONDS
        while not self._socket.exists():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the fork server did not start:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.02)
        # -S and -E: the client needs no packages, and starts in a third of the time without them.
        return [sys.executable, "-S", "-E", fork_server.__file__, "run", str(self._socket), module, *arguments]


@cache
def shared() -> ForkServer:
    """Return the server of this process, with the code of this checkout."""
    server = ForkServer(_IMPORTED, child_process.environment())
    atexit.register(server.close)
    return server


def start(module: str, *arguments: str, **streams: Any) -> subprocess.Popen[Any]:
    """Do what `child_process.start` does, by a fork if that spares an import."""
    if module not in _IMPORTED:
        return _start(module, *arguments, **streams)
    command = shared().command(module, *arguments)
    return subprocess.Popen(command, cwd=ROOT.parent, env=child_process.environment(), **streams)
