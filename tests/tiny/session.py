"""What a test run makes once, for all of its processes: the folder is made and removed by tests/conftest.py."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

VARIABLE = "EDGETUNE_TEST_SESSION"
"""Names the folder; pytest's workers get it from the process that starts them."""


@cache
def _own() -> tempfile.TemporaryDirectory[str]:
    """Of a program that is run by itself, as those of tests/programs are."""
    return tempfile.TemporaryDirectory(prefix="edgetune-tests-")


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """Return the folder of that name, which the first process that asks has filled; the others wait for it.

    Args:
        name: Of what is made, and of all that it depends on.
        make: Fills the folder, which it has to make. Nobody may change it afterwards.
    """
    base = Path(os.environ.get(VARIABLE) or _own().name)
    folder, done = base / name, base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what a process left that failed
            make(folder)
            done.touch()
    return folder
