"""Commands that follow a run, quoted for the shell."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from edgetune.modules.contracts.bundle import SIGNATURE
from edgetune.modules.storage import filesystem
from edgetune.pipeline.local.result import Run

_PLACES = ("name", "push", "state")
"""Settings, or groups of them, by which later commands find a run."""


def next_steps(
    run: Run, *, config: Path | None, data: str | None, overrides: Sequence[str], workdir: Path | None
) -> list[str]:
    """Return the commands for what a run made, one each.

    Args:
        run: That ended.
        config: Its configuration; None if none was given.
        data: Its data, likewise.
        overrides: Its options `--set`, of which those are kept that say where things are.
        workdir: Its folder; None for the default.
    """
    options = [
        *(["--config", str(config)] if config is not None else []),
        *(["--data", data] if data is not None else []),
        *(word for each in overrides if re.split("[.=]", each)[0].strip() in _PLACES for word in ("--set", each)),
        *(["--workdir", str(workdir)] if workdir is not None else []),
    ]
    program = _program()
    commands = []
    for bundle in run.pushed[1:]:  # the edge bundle; the SavedModel is the first
        if not filesystem.is_remote(bundle):
            signed = ["--public-key", "KEY.pub"] if Path(bundle, SIGNATURE).exists() else []
            commands += [[*program, command, bundle, *signed] for command in ("verify", "demo", "bench")]
    commands.append([*program, "runs", *options])
    if run.tensorboard is not None:
        commands.append([_beside("tensorboard"), "--logdir", run.tensorboard])
    return [shlex.join(command) for command in commands]


def _program() -> list[str]:
    """Return how the user has called edgetune."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        relative = os.path.relpath(sys.executable)
        return [sys.executable if relative.startswith("..") else relative, "-m", "edgetune"]
    if called.name != "edgetune" or shutil.which("edgetune") == str(called.absolute()):
        return ["edgetune"]
    return [str(called)]


def _beside(name: str) -> str:
    """Return a program by its name, or by its path if it is in the environment and not on PATH."""
    path = Path(sys.executable).with_name(name)
    return str(path) if shutil.which(name) is None and path.is_file() else name
