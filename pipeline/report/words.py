"""Format numbers for people; an unknown number is a dash."""

from __future__ import annotations

import math

UNKNOWN = "–"


def percent(share: float | None) -> str:
    """Format a share as `95.3%`, with as many decimals as needed so that only exactly 1 becomes `100%`, and 0 `0%`."""
    if share is None:
        return UNKNOWN
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    decimals = next((d for d in range(1, 6) if f"{share:.{d}%}" not in (f"{1:.{d}%}", f"{0:.{d}%}")), 6)
    return f"{share:.{decimals}%}"


def interval(bounds: tuple[float, float] | None) -> str:
    """Format two shares as `89.5% to 97.7%`."""
    return UNKNOWN if bounds is None else f"{percent(bounds[0])} to {percent(bounds[1])}"


def points(change: float | None) -> str:
    """Format a difference of two shares in percentage points, as `0.27`."""
    if change is None:
        return UNKNOWN
    # Adding zero turns a difference that rounds to `-0.00` into `0.00`.
    return f"{round(100 * change, 2) + 0.0:.2f}".replace("-", "−")


def size(count: int | None) -> str:
    """Format bytes in decimal units, as app stores do: `734 B`, `12.3 kB`, `2.41 MB`."""
    if count is None:
        return UNKNOWN
    if count < 1000:
        return f"{count} B"
    # By the rounded number: 999,999 is 1 MB, not 1000 kB.
    power = min(int(math.log10(float(f"{count:.3g}")) / 3 + 1e-9), 3)
    return f"{float(f'{count / 1000**power:.3g}'):,g} {('', 'kB', 'MB', 'GB')[power]}"


def milliseconds(value: float | None) -> str:
    """Format a latency with three significant digits: `0.412 ms`, `12.3 ms`, `1,240 ms`."""
    if value is None:
        return UNKNOWN
    decimals = 0 if value <= 0 else max(0, 2 - math.floor(math.log10(value)))
    return f"{value:,.{min(decimals, 3)}f} ms"
