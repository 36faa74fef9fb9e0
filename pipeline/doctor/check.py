"""The result of one check of a machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgetune.modules.core.untrusted_text import printable


@dataclass(frozen=True)
class Check:
    """What was looked at, and what was found."""

    name: str
    outcome: Literal["ok", "warning", "missing"]
    """`missing`: a run on this machine would fail."""
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"\n         remedy: {printable(self.remedy)}" if self.remedy else ""
        return f"{self.outcome:<8} {self.name}: {printable(self.text)}{remedy}"
