"""Which versions of libraries did something, and which are part of a component's key in the cache.

TFX caches an execution by its inputs and execution properties, and sees no library in them: after an upgrade, all
would be served from the cache, and a HEIC that was rejected for want of a decoder stay rejected. So each component
names the libraries that decide what it puts out (`LIBRARIES` beside its executor), has their versions among its
execution properties, and writes those that did the work onto its outputs.

Python's own version is in no key: what edgetune takes from it (hashing, JSON, sorting) does not change with it. Nor are
Beam and zlib-ng, which move and compress what the others compute.
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
"""Name of the execution property, and of the custom property of artifacts."""
IMAGE_LOCK = "requirements/tfx121.txt"
"""What the container image is installed from (`scripts/install_in_image.sh`), inside edgetune's code."""
# In every record, but in no key for it: of edgetune's code that counts which runs (`code_digest`), and of TFX that in
# the components that run its executors.
_ALWAYS = ("edgetune", "tfx")


def library_versions(libraries: Iterable[str]) -> str:
    """The installed versions, for an execution property.

    Args:
        libraries: Names as on the package index.

    Returns:
        A JSON object of versions by name, sorted; null for what is not installed, which decides things as well.
    """
    return json.dumps({name: _installed(name) for name in libraries}, sort_keys=True)


def record(libraries: Iterable[str]) -> str:
    """The same with the versions of edgetune, TFX and Python: what did the work in this process."""
    found = {name: _installed(name) for name in (*_ALWAYS, *libraries)}
    return json.dumps(found | {"python": platform.python_version()}, sort_keys=True)


def image_versions() -> str:
    """What stands for the versions in the container image: the digest of its lock.

    A pipeline is compiled elsewhere than it runs, and the compiling machine's versions decide nothing.

    Returns:
        A JSON object with the SHA-256 of the lock by its name.

    Raises:
        ConfigError: The lock is not beside the code.
    """
    try:
        content = (ROOT / IMAGE_LOCK).read_bytes()
    except OSError as error:
        raise ConfigError(f"{ROOT / IMAGE_LOCK}: cannot be read: {error.strerror}", "install edgetune again") from None
    return json.dumps({IMAGE_LOCK: hashlib.sha256(content).hexdigest()})


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
