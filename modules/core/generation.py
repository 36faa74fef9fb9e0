"""What differs between the two generations of TFX that edgetune runs on: TFX 1.16 on Python 3.10, TFX 1.21 after it.

The locks in `requirements/` hold their versions. No other file asks for a version, or for what a library has.
"""

from __future__ import annotations

import sys
from typing import Any

# As setup.py's markers say: there is no other TFX for either Python.
TFX_116 = sys.version_info < (3, 11)


def guard_arrow() -> None:
    """Keep pyarrow from running code that stands in a file; to be called before it reads one that a user gave.

    Up to 14.0.0 it unpickles an extension type as soon as it sees the schema (CVE-2023-47248). TFX 1.16 holds it at
    10; TFX 1.21 asks for one that does not.
    """
    if TFX_116:
        import pyarrow_hotfix

        pyarrow_hotfix.install()


def health_check(service: Any) -> Any:
    """Return the method of kfp's health service: kfp-server-api 2.17, which comes with TFX 1.21, renamed it.

    Args:
        service: A `kfp_server_api.HealthzServiceApi`.
    """
    return getattr(service, "get_healthz", None) or service.healthz_service_get_healthz
