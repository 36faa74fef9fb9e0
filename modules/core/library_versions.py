"""Record library versions for components' cache keys and for lineage.

TFX caches an execution by its inputs and execution properties, which hold no library versions: after an upgrade,
everything would still be served from the cache, and a HEIC that was rejected for lack of a decoder would stay rejected.
So each component lists the libraries that determine its outputs (`LIBRARIES` beside its executor), has their versions
among its execution properties, and records on its outputs the versions that produced them.

Python's own version is not in any cache key: what edgetune uses of it (hashing, JSON, sorting) does not change between
versions. Nor are Beam and zlib-ng, which only move and compress what the others compute.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from importlib import metadata

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.core.package_paths import ROOT

KEY = "library_versions"
"""Name of the execution property and of the artifacts' custom property."""
IMAGE_LOCK = "requirements/tfx121.txt"
"""Lock file that the container image is installed from (`scripts/install_in_image.sh`), relative to edgetune's code."""
# Recorded for every component, but not part of every cache key: edgetune's own code counts by `code_digest`, and TFX
# only counts for the components that run its executors.
_ALWAYS = ("edgetune", "tfx")


def library_versions(libraries: Iterable[str]) -> str:
    """Return the installed versions, for an execution property.

    Args:
        libraries: Names as on the package index.

    Returns:
        A JSON object of versions by name, sorted. A library that is not installed is null, because that affects
        outputs too.
    """
    return json.dumps({name: _installed(name) for name in libraries}, sort_keys=True)


def record(libraries: Iterable[str]) -> str:
    """Return the versions in this process of `libraries`, edgetune, TFX and Python, as a JSON object."""
    found = {name: _installed(name) for name in (*_ALWAYS, *libraries)}
    return json.dumps(found | {"python": platform.python_version()}, sort_keys=True)


def image_versions() -> str:
    """Return the digest of the container image's lock file, which stands for the versions installed in the image.

    A pipeline is compiled on another machine than it runs on, so the compiling machine's versions do not matter.

    Returns:
        A JSON object with the SHA-256 of the lock file by its name.

    Raises:
        ConfigError: The lock file is missing from the installation.
    """
    try:
        content = (ROOT / IMAGE_LOCK).read_bytes()
    except OSError as error:
        raise ConfigError(f"{ROOT / IMAGE_LOCK}: cannot be read: {error.strerror}", "reinstall edgetune") from None
    return json.dumps({IMAGE_LOCK: hashlib.sha256(content).hexdigest()})


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
