"""How much memory a piece of work takes at its height, as Linux counts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS, _RESET_PEAK = Path("/proc/self/status"), (Path("/proc/self/clear_refs"), "5")


@dataclass
class Growth:
    """Of this process."""

    bytes: int = 0
    """Highest resident memory during the work, above what was resident before it."""


@contextmanager
def growth_of() -> Iterator[Growth]:
    """Measures what happens inside the context; the result is there after it."""
    growth = Growth()
    _RESET_PEAK[0].write_text(_RESET_PEAK[1])
    before = _kibibytes("VmRSS")
    yield growth
    growth.bytes = (_kibibytes("VmHWM") - before) << 10


def _kibibytes(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
