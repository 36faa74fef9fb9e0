"""Python, the system and the installed libraries, against what the locks are for."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgetune.modules.core import child_process
from edgetune.modules.core.package_paths import ROOT
from edgetune.pipeline.doctor.check import Check

_LOCKS = {"tfx116": ((3, 10), (3, 10), "2.28"), "tfx121": ((3, 11), (3, 13), "2.39")}
"""Lowest and highest Python and lowest glibc of each lock, as in docs/install.md."""
_SETUP = "run `make setup` in the checkout"
_NAMED = 5
_IMPORTS = ("numpy", "tensorflow", "keras", "apache_beam", "tensorflow_transform", "tensorflow_model_analysis", "tfx")
_SECONDS = 600
_DIST_INFO = re.compile(r"(.+?)-([^-]+)\.dist-info")


def lock_of(version: tuple[int, int]) -> str | None:
    """Return the name of the lock for a version of Python; None if there is none."""
    return next((name for name, (low, high, _) in _LOCKS.items() if low <= version <= high), None)


def python(version: tuple[int, int, int]) -> Check:
    """Check the version of Python."""
    said = ".".join(map(str, version))
    lock = lock_of(version[:2])
    if lock is None:
        return Check("Python", "missing", f"{said}, for which TFX has no packages", "use Python 3.10 to 3.13")
    if lock == "tfx116":
        return Check("Python", "ok", f"{said}: TFX 1.16, the fallback for systems with a glibc below 2.39")
    return Check("Python", "ok", f"{said}: TFX 1.21")


def system(name: str, machine: str, libc: str, flags: str, lock: str | None) -> Check:
    """Check operating system and processor.

    Args:
        name: As of `platform.system`.
        machine: As of `platform.machine`.
        libc: Version of glibc; empty if the system has another library.
        flags: Of the processor, as in /proc/cpuinfo; empty if they are not known.
        lock: Name of the lock that is used.
    """
    said = f"{name} {machine}, glibc {libc or 'not found'}"
    container = "run the container: docs/install.md"
    if name != "Linux" or machine != "x86_64":
        return Check("system", "missing", f"{said}: TFX has packages for Linux on x86_64 only", container)
    if flags and "avx" not in flags.split():
        return Check("system", "missing", f"{said}: the processor has no AVX, which TensorFlow needs", container)
    needed = _LOCKS[lock][2] if lock else "0"
    if not libc or _numbers(libc) < _numbers(needed):
        remedy = "use Python 3.10, for TFX 1.16, or a newer system" if lock == "tfx121" else "use a newer system"
        return Check("system", "missing", f"{said}, and the packages need {needed}", remedy)
    return Check("system", "ok", said)


def locked(lock: str) -> dict[str, str] | None:
    """Return the version of each package that a lock has for this interpreter; None if it is not here."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    path = ROOT / "requirements" / f"{lock}.txt"
    if not path.is_file():
        return None
    found = {}
    for line in re.findall(r"^([A-Za-z0-9][^\\\n]*==[^\\\n]+)", path.read_text(encoding="utf-8"), re.MULTILINE):
        requirement = Requirement(line.strip())
        if requirement.marker is None or requirement.marker.evaluate():
            found[str(canonicalize_name(requirement.name))] = next(iter(requirement.specifier)).version
    return found


def installed(path: list[str] | None = None) -> dict[str, str]:
    """Return the version of each installed package, by the names of their folders.

    Args:
        path: Folders to look in; None for `sys.path`.
    """
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    for folder in map(Path, sys.path if path is None else path):
        for entry in sorted(folder.glob("*.dist-info")) if folder.is_dir() else ():
            if match := _DIST_INFO.fullmatch(entry.name):
                found.setdefault(str(canonicalize_name(match[1])), match[2])
    return found


def libraries(wanted: Mapping[str, str] | None, there: Mapping[str, str], lock: str) -> Check:
    """Compare the installed packages with a lock.

    Args:
        wanted: Versions by name, of the lock; None if it is not here.
        there: Versions by name, as installed.
        lock: Its name.
    """
    if wanted is None:
        return Check("libraries", "warning", f"the lock {lock} is not installed with edgetune, so nothing is compared")
    absent = sorted(set(wanted) - set(there))
    if absent:
        text = f"{len(absent)} of {len(wanted)} packages of {lock} are not installed: {_list(absent)}"
        return Check("libraries", "missing", text, _SETUP)
    other = [f"{name} {there[name]} instead of {version}" for name, version in wanted.items() if there[name] != version]
    if other:
        text = f"{len(other)} of {len(wanted)} packages are not as in {lock}, which is what is tested: {_list(other)}"
        return Check("libraries", "warning", text, _SETUP)
    return Check("libraries", "ok", f"all {len(wanted)} packages as in the lock {lock}")


def imports() -> Iterator[Check]:
    """Import the libraries of a run, in a child process, which a broken one may end."""
    program = (
        f"import importlib\nfor name in {_IMPORTS!r}:\n    print(name, flush=True)\n    importlib.import_module(name)"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=child_process.environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield Check("imports", "missing", f"the libraries are not imported in {_SECONDS} seconds", "use a local disk")
        return
    last = (done.stdout.split() or ["Python"])[-1]
    if done.returncode:
        why = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "")
        how = child_process.ending(done.returncode)
        yield Check("imports", "missing", f"importing {last} ends with {how}: {why.strip()[:300]}", _SETUP)
    else:
        yield Check("imports", "ok", f"{', '.join(_IMPORTS)}")


def processor_flags() -> str:
    """Return the flags of the processor; empty if the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return next((line.partition(":")[2] for line in text.splitlines() if line.startswith("flags")), "")


def check() -> Iterator[Check]:
    """Yield all of these but the imports."""
    major, minor, micro = (int(re.sub(r"\D.*", "", part)) for part in platform.python_version_tuple())
    yield python((major, minor, micro))
    lock = lock_of((major, minor))
    name, libc = platform.libc_ver()
    glibc = libc if name == "glibc" else ""
    yield system(platform.system(), platform.machine(), glibc, processor_flags(), lock)
    if lock is not None:
        yield libraries(locked(lock), installed(), lock)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
