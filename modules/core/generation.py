"""Differences between the two TFX generations that edgetune runs on: TFX 1.16 on Python 3.10, TFX 1.21 on later ones.

The lock files in `requirements/` pin their versions. No other file tests for a version or for features of a library.
"""

from __future__ import annotations

import sys
from typing import Any

# Follows the markers in setup.py: each Python version has exactly one TFX.
TFX_116 = sys.version_info < (3, 11)


def guard_arrow() -> None:
    """Keep pyarrow from running code embedded in a file. Call it before pyarrow reads a user's file.

    Up to 14.0.0, pyarrow unpickles extension types as soon as it reads the schema (CVE-2023-47248). TFX 1.16 pins it to
    10; TFX 1.21 requires a fixed version.
    """
    if TFX_116:
        import pyarrow_hotfix

        pyarrow_hotfix.install()


def health_check(service: Any) -> Any:
    """Return the health-check method of kfp's service; kfp-server-api 2.17, which comes with TFX 1.21, renamed it.

    Args:
        service: A `kfp_server_api.HealthzServiceApi`.
    """
    return getattr(service, "get_healthz", None) or service.healthz_service_get_healthz
