"""`edgetune client`: a small project for one platform, written around a verified edge bundle."""

from __future__ import annotations

from edgetune.pipeline.client.write import PLATFORMS, write_client

__all__ = ["PLATFORMS", "write_client"]
