"""The wheel of edgetune, built from this checkout and installed into a folder, as a user has it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

_CODE = ("edgetune", "modules", "components", "pipeline", "schemas", "configs", "weights", "requirements")
_FILES = ("setup.py", "pyproject.toml", "README.md")
# A user's packages by the names that our folders have. To import one is an error.
_THEIRS = "raise ImportError(f'{__name__} is the user\\'s own')\n"


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the wheel from a copy of the code, because building leaves files beside it.

    Args:
        root: Of the repository.
        folder: To work in; the wheel is below it.
    """
    source = _copy(root, folder / "source")
    command = ["wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), "."]
    _pip(*command, cwd=source)
    [wheel] = folder.glob("edgetune-*.whl")
    return wheel


def install_editable(root: Path, folder: Path) -> Path:
    """Install a copy of the code as an editable install does: return the folder of packages that refers to the copy."""
    source, site = _copy(root, folder / "source"), folder / "site"
    build = f"from setuptools import build_meta; build_meta.build_editable({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, stdout=subprocess.DEVNULL)
    [wheel] = folder.glob("edgetune-*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def _copy(root: Path, source: Path) -> Path:
    source.mkdir(parents=True)
    for name in _CODE:
        shutil.copytree(
            root / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.part")
        )
    for name in _FILES:
        shutil.copy2(root / name, source)
    return source


def install(wheel: Path, site: Path) -> Path:
    """Install a wheel without its dependencies into the folder `site`, which is returned."""
    _pip("install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", str(site), str(wheel), cwd=site.parent)
    return site


def colliding_project(folder: Path) -> Path:
    """Make a user's project that has packages of its own by the names of our folders."""
    for name in ("modules", "components", "pipeline", "weights", "schemas", "configs"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(_THEIRS, encoding="utf-8")
    return folder


def _pip(*arguments: str, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    subprocess.run(command, cwd=cwd, check=True)
