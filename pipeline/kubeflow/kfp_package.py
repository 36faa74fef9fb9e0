"""Check that the package kfp is installed: `compile` and `submit` need it, `run` does not."""

from __future__ import annotations

import importlib.util

from edgetune.modules.core.errors import ConfigError


def check_kfp(command: str) -> None:
    """Check that `kfp` is installed for the command of this name.

    Raises:
        ConfigError: It is not.
    """
    found = importlib.util.find_spec("kfp")
    # The package `kfp-pipeline-spec` alone installs a folder `kfp` without code.
    if found is None or found.origin is None:
        raise ConfigError(
            f"edgetune {command} needs the package kfp, which is not installed",
            'run `python -m pip install "kfp>=2.5,<2.17"`, or `make setup` again',
        )
