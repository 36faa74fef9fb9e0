"""Child processes of edgetune's own modules: the LiteRT converter, probes of untrusted files, the Parquet reader.

C++ that aborts on a bad input ends the child, and its end becomes an error message of the parent.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgetune.modules.core.package_paths import ROOT

# CUDA's value for "no device". A process that merely detects a GPU reserves some 500 MB of its memory.
_WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def start(module: str, *arguments: str, **streams: Any) -> subprocess.Popen[Any]:
    """Start `python -m module arguments` with `environment()`, where edgetune is found whatever this process's folder.

    Args:
        module: Dotted name of a module of edgetune that runs as a program.
        arguments: Its command-line arguments.
        streams: What else `subprocess.Popen` takes, such as `stdin`, `stdout`, `stderr`, `text`.
    """
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, cwd=ROOT.parent, env=environment(), **streams)


def ending(code: int) -> str:
    """Describe how a process ended by its return code: `exit code 3`, `SIGSEGV`."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def peak_memory(process: int | str = "self") -> int:
    """Return the largest resident memory that a process has had, in bytes; 0 if it is gone."""
    try:
        found = _PEAK.search(Path(f"/proc/{process}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0


def environment() -> dict[str, str]:
    """Return the environment of a child process: this one's, with edgetune's code on the path and without a GPU.

    A child may run while a training uses the GPU, and it converts or measures models for the CPU of a phone: a GPU
    would round differently.
    """
    path = os.pathsep.join(filter(None, [str(ROOT.parent), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **_WITHOUT_GPU, "PYTHONPATH": path}


def hide_gpus() -> None:
    """Leave the GPUs of this machine to other processes. Call it before TensorFlow is imported."""
    os.environ.update(_WITHOUT_GPU)
