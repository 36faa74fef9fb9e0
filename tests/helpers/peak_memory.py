"""Measure the peak memory of a piece of work, as counted by Linux."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS, _RESET_PEAK = Path("/proc/self/status"), (Path("/proc/self/clear_refs"), "5")


@dataclass
class Growth:
    """Growth of this process's memory."""

    bytes: int = 0
    """Peak resident memory during the work, minus the resident memory before it."""


@contextmanager
def growth_of() -> Iterator[Growth]:
    """Measure the work inside the context; the result is available after it."""
    growth = Growth()
    _RESET_PEAK[0].write_text(_RESET_PEAK[1])
    before = _kibibytes("VmRSS")
    yield growth
    growth.bytes = (_kibibytes("VmHWM") - before) << 10


def _kibibytes(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
