"""Environments of their own for clients that cannot be installed beside TFX, made from pins and kept for the next run.

Each lives in `.venv-clients/<name>/`, which git ignores. Complete is what its stamp says, which is written last: it
holds the digest of the pins, so that changed pins make the environment anew. A file lock makes two test processes wait
for each other. Nothing but the package index is asked: no interpreter is downloaded.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uv

HERE = Path(__file__).resolve().parent
KEPT = HERE.parent.parent / ".venv-clients"
STAMP = ".edgetune-pins"
# What uv says where the index does not answer. Anything else that goes wrong is a defect of the pins, and fails.
_UNREACHABLE = re.compile(r"error sending request|dns error|failed to connect|timed out|connection refused", re.I)


class Unavailable(Exception):
    """A client cannot be had on this machine; the message says why and what to do about it."""


@dataclass(frozen=True)
class Client:
    """A client that runs in an environment of its own."""

    name: str
    """Its pins are `requirements-<name>.txt`."""
    pythons: tuple[str, ...]
    """Versions of Python that the pins are for, the proven one first."""

    @property
    def pins(self) -> Path:
        """Exact versions of all packages, with hashes."""
        return HERE / f"requirements-{self.name}.txt"


MEDIAPIPE = Client("mediapipe", ("3.11", "3.12", "3.13"))
TFLITE_RUNTIME = Client("tflite-runtime", ("3.10", "3.11"))


def interpreter(client: Client, kept: Path = KEPT) -> Path:
    """Return the Python of a client's environment, which is made where it is not there.

    Args:
        client: Which client.
        kept: Folder of all such environments.

    Raises:
        Unavailable: No fitting Python is on this machine, or the package index does not answer.
        RuntimeError: The pins cannot be installed for another reason.
    """
    folder = kept / client.name
    python = folder / "bin" / "python"
    kept.mkdir(exist_ok=True)
    with locked(kept / f"{client.name}.lock"):
        digest = hashlib.sha256(client.pins.read_bytes()).hexdigest()
        stamp = folder / STAMP
        # The interpreter behind it may be gone since.
        if stamp.is_file() and stamp.read_text() == digest and _version(str(python)):
            return python
        base = _base(client.pythons)
        if base is None:
            raise Unavailable(
                f"{client.name} needs Python {' or '.join(client.pythons)}, which is not on this machine: "
                f"`uv python install {client.pythons[0]}` gets it"
            )
        shutil.rmtree(folder, ignore_errors=True)
        _uv("venv", "-q", "--no-python-downloads", "--python", base, str(folder))
        # With byte code MediaPipe is imported in half the time, and Python may be told not to write any.
        options = ("-q", "--require-hashes", "--compile-bytecode", "--python", str(python))
        _uv("pip", "sync", *options, str(client.pins))
        stamp.write_text(digest)
    return python


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a file; other processes that ask for it wait."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _base(versions: Sequence[str]) -> str | None:
    """Return an interpreter of one of these versions, the first that can be had."""
    return next((path for version in versions for path in _candidates(version) if _version(path) == version), None)


def _candidates(version: str) -> Iterator[str]:
    # The one behind our own environment, PATH (where pyenv leaves shims that do not run), pyenv, and uv's own.
    yield str(Path(sys.base_prefix, "bin", f"python{version}"))
    if found := shutil.which(f"python{version}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    yield from (str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python")))
    found = subprocess.run(
        [uv.find_uv_bin(), "python", "find", "--no-python-downloads", version],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 0:
        yield found.stdout.strip()


def _version(python: str) -> str | None:
    """Version of an interpreter, such as `3.11`; None where it does not run."""
    command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _uv(*arguments: str) -> None:
    own = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
    environment = {key: value for key, value in os.environ.items() if key not in own}
    command = [uv.find_uv_bin(), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode == 0:
        return
    said = done.stderr.strip()
    if _UNREACHABLE.search(said):
        what = Path(arguments[-1]).name
        raise Unavailable(f"the package index does not answer, so {what} cannot be installed: {said.splitlines()[0]}")
    raise RuntimeError(f"uv {' '.join(arguments)}: {said}")
