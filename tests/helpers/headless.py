"""Chromium and the npm packages that drive it, for tests of pages; without them, the tests are skipped."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline.demo.npm import CACHE_VARIABLE, installed, node_command

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DRIVER = Path(__file__).resolve().parents[1] / "clients" / "browser"
"""Folder of the scripts, and of the lock of their packages."""
CACHE = Path(__file__).resolve().parents[2] / ".npm-clients"
_NO_REGISTRY = re.compile(r"ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|network", re.I)


def chromium() -> str:
    """Return the command of a browser; skip the test if there is none."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no browser on PATH ({', '.join(BROWSERS)}): install chromium")


def flags() -> list[str]:
    """Return the flags that Chromium needs here: as root, it runs only without its sandbox."""
    return ["--no-sandbox"] if os.geteuid() == 0 else []


def node_modules(*sources: Path) -> Path:
    """Return `node_modules` of what drives the browser; install it, and the packages of other folders, if need be.

    The test is skipped if Node.js or the registry of packages is missing.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(CACHE))
        try:
            node_command("node")
            for source in sources:
                installed(source)
            return installed(DRIVER)
        except ConfigError as error:
            if "PATH" in error.cause or _NO_REGISTRY.search(error.cause):
                pytest.skip(f"{error.cause} ({error.remedy})")
            raise
