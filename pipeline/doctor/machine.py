"""Memory, disks, folders, limits and devices of this machine."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgetune.modules.core.errors import MachineError
from edgetune.modules.core.threads import cores
from edgetune.modules.storage.leftovers import temporary_folder
from edgetune.pipeline.doctor.check import Check
from edgetune.pipeline.report.words import size

_MEMORY = 1_000_000_000, 3_000_000_000
"""Bytes of free memory below which a run fails, and below which it may: of a small data set, the trainer adds 1 GB to
what the libraries take (docs/scaling.md)."""
_DISK = 200_000_000, 2_000_000_000
"""The same of a disk: a run leaves 0.24 MB for each image (docs/scaling.md)."""
_FILES = 1024
_CGROUP = Path("/sys/fs/cgroup")


def memory(free: int | None, whole: int | None) -> Check:
    """Check the memory.

    Args:
        free: Bytes that are free, within the limit of the container; None if the system does not tell.
        whole: Bytes of all memory.
    """
    if free is None or whole is None:
        return Check("memory", "warning", "the system does not say how much is free")
    said = f"{size(free)} free of {size(whole)}"
    least, good = _MEMORY
    remedy = "close other programs, or give the machine or the container more memory"
    if free < least:
        return Check("memory", "missing", f"{said}; a run needs more than {size(least)}", remedy)
    if free < good:
        return Check("memory", "warning", f"{said}; runs with larger networks or batches need {size(good)}", remedy)
    return Check("memory", "ok", said)


def free_memory(folder: Path = Path("/proc"), cgroup: Path = _CGROUP) -> tuple[int | None, int | None]:
    """Return the free memory and all memory in bytes, within the limit of the container."""
    try:
        lines = dict(line.split(":", 1) for line in (folder / "meminfo").read_text().splitlines())
        free, whole = (int(lines[key].split()[0]) << 10 for key in ("MemAvailable", "MemTotal"))
    except (OSError, KeyError, ValueError):
        return None, None
    try:
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or no limit
        return free, whole
    return max(min(free, limit - used), 0), min(whole, limit)


def disk(name: str, folder: Path, free: int) -> Check:
    """Check the free bytes of a disk."""
    said = f"{folder}: {size(free)} free"
    remedy = "free space there, or name a folder on another disk with " + ("--workdir" if name == "workdir" else name)
    least, good = _DISK
    if free < least:
        return Check(name, "missing", said, remedy)
    if free < good:
        return Check(name, "warning", f"{said}, enough for about {free // 240_000:,} images", remedy)
    return Check(name, "ok", said)


def workdir(folder: Path) -> Check:
    """Check that a run can write to its workdir."""
    if folder.exists() and not folder.is_dir():
        return Check("workdir", "missing", f"{folder}: is a file", "name a folder with --workdir")
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    if not os.access(there, os.W_OK | os.X_OK):
        return Check("workdir", "missing", f"{there}: cannot be written", "name another folder with --workdir")
    return disk("workdir", folder, shutil.disk_usage(there).free)


def temporary() -> Check:
    """Check that temporary files can be written and locked."""
    try:
        with temporary_folder() as made:
            folder = made.parent
    except MachineError as error:
        return Check("TMPDIR", "missing", error.cause, error.remedy)
    except OSError as error:
        text = f"no temporary files can be written: {error.strerror or error}"
        return Check("TMPDIR", "missing", text, "name a folder that can be written in the variable TMPDIR")
    return disk("TMPDIR", folder, shutil.disk_usage(folder).free)


def limits() -> Check:
    """Check the limits of this process."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    said = f"{cores()} cores, {files if files != resource.RLIM_INFINITY else 'unlimited'} open files"
    if files != resource.RLIM_INFINITY and files < _FILES:
        return Check("limits", "warning", said, f"raise the limit: `ulimit -n {_FILES}`")
    if space != resource.RLIM_INFINITY:
        return Check("limits", "warning", f"{said}, {size(space)} of address space", "raise it: `ulimit -v unlimited`")
    return Check("limits", "ok", said)


def devices() -> Check:
    """Say what trains, without TensorFlow; a run says it for certain."""
    gpus = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    if not gpus:
        return Check("devices", "ok", "no NVIDIA GPU with a driver: the CPU trains")
    if importlib.util.find_spec("nvidia") is None:
        text = f"{', '.join(gpus)}, and no CUDA libraries in this environment: the CPU trains"
        return Check("devices", "warning", text, "run `make setup GPU=1`")
    if (hidden := os.environ.get("CUDA_VISIBLE_DEVICES")) in ("", "-1"):
        text = f"{', '.join(gpus)}, hidden by CUDA_VISIBLE_DEVICES={hidden}: the CPU trains"
        return Check("devices", "warning", text, "unset CUDA_VISIBLE_DEVICES")
    return Check("devices", "ok", f"{', '.join(gpus)}, with CUDA libraries")


def check(folder: Path) -> Iterator[Check]:
    """Yield all of these.

    Args:
        folder: The workdir.
    """
    yield memory(*free_memory())
    yield workdir(folder)
    yield temporary()
    yield limits()
    yield devices()
