"""Write the project of a platform: its template, and the bundle beside it, as it was verified.

The templates are whole projects and are copied as they are: what depends on the bundle, they read from its
`bundle.json`. So they are compiled and run by the tests as they are delivered, and the documentation quotes them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgetune.modules.bundle.files import BundleFiles, checksum_problems, refuse_parent, shown
from edgetune.modules.bundle.signing import NO_KEY, Trust
from edgetune.modules.bundle.verify import Check, verify
from edgetune.modules.core.errors import BundleError, ConfigError
from edgetune.modules.core.wording import counted
from edgetune.pipeline.demo.site import HERE as DEMO

TEMPLATES = Path(__file__).parent / "templates"
PLATFORMS = {
    "android": "app/src/main/assets/bundle",
    "ios": "Sources/EdgeClassifier/bundle",
    "web": "bundle",
    "python": "bundle",
}
"""Where each platform's project has the bundle."""
_SHARED = {"web": ("pixels.js",)}
"""Files of the demo's page that a project has too."""


def write_client(
    bundle: Path,
    platform: str,
    folder: Path,
    trust: Trust = NO_KEY,
    report: Callable[[Check], None] = lambda _: None,
) -> Path:
    """Write a project around a bundle, whole or not at all.

    Args:
        bundle: An edge bundle on this machine.
        platform: One of `PLATFORMS`.
        folder: What to write; it must not exist, or be empty.
        trust: As for `modules.bundle.verify.verify`.
        report: Called with each check of the bundle.

    Returns:
        The README of the project.

    Raises:
        BundleError: The bundle cannot be read, or a check failed.
        ConfigError: The platform is not known, or the folder has something in it or cannot be written.
    """
    if platform not in PLATFORMS:
        raise ConfigError(f"--platform {platform}: is not known", f"choose one of {', '.join(PLATFORMS)}")
    folder = folder.absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigError(f"{folder}: is there already", "name a new folder, or an empty one")
    refuse_parent(bundle, "edgetune client")
    failed = [each for each in verify(bundle, trust, report) if each.outcome == "failed"]
    if failed:
        what = f"{counted(len(failed), 'check')} failed, first {shown(failed[0].file)}: {shown(failed[0].text)}"
        raise BundleError(f"{shown(bundle)}: {what}", "run `edgetune verify` on it for all of them")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".edgetune-", suffix=".part", dir=folder.parent) as temporary:
            made = Path(temporary, "project")
            shutil.copytree(TEMPLATES / platform, made, ignore=shutil.ignore_patterns("__pycache__"))
            for name in _SHARED.get(platform, ()):
                shutil.copyfile(DEMO / "page" / name, made / name)
            _copy_bundle(bundle, made / PLATFORMS[platform], trust)
            made.rename(folder)
    except OSError as error:
        where = error.filename or folder
        raise ConfigError(f"{where}: cannot be written: {error.strerror}", "name another folder with --out") from None
    return folder / "README.md"


def _copy_bundle(bundle: Path, target: Path, trust: Trust) -> None:
    """Copy the files of a bundle, and check the copy: the bundle may have been changed since it was verified."""
    for name in BundleFiles(bundle).sizes:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle / name, target / name)
    if problems := checksum_problems(BundleFiles(target)):
        file, cause, _ = problems[0]
        raise BundleError(f"{shown(bundle)}: {shown(file)} {cause} since it was verified", "try again")
    trust.require(target)
