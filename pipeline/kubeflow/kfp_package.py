"""Whether KFP's own packages are there: `compile` and `submit` need them, `run` does not."""

from __future__ import annotations

import importlib.util

from edgetune.modules.core.errors import ConfigError


def check_kfp(command: str) -> None:
    """Stop where `kfp` is missing, which the command of this name needs.

    Raises:
        ConfigError: It is.
    """
    found = importlib.util.find_spec("kfp")
    # `kfp-pipeline-spec` alone makes a folder `kfp` without code.
    if found is None or found.origin is None:
        raise ConfigError(
            f"edgetune {command} needs the package kfp, which is not installed here",
            'python -m pip install "kfp>=2.5,<2.17", or `make setup` once more',
        )
