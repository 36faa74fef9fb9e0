"""A run that ends because of what was rejected, and all that was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgetune.modules.core.errors import DataError


class Rejected(DataError):
    """The data cannot be trained on, and files were rejected.

    Args:
        cause: What is wrong.
        remedy: What to do about it.
        ingest: Content of `ingest.json`: TFX removes what a component that fails wrote, and a report wants to show it.
        rows: `path` and `reason` of the first rejected files, as in `rejected.csv`.
    """

    exit_code = DataError.exit_code

    def __init__(self, cause: str, remedy: str, ingest: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> None:
        super().__init__(cause, remedy)
        self.ingest, self.rows = dict(ingest), [dict(row) for row in rows]
