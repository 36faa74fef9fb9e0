"""Numbers as people read them. What is not known is a dash."""

from __future__ import annotations

import math

UNKNOWN = "–"
Z_95 = 1.959964
"""Quantile of the normal distribution that leaves 95% between itself and its negative."""


def percent(share: float | None) -> str:
    """A share as `95.3%`. Only what is whole is `100%`: decimals are added until the number shows that it is less."""
    if share is None:
        return UNKNOWN
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    decimals = next((d for d in range(1, 6) if f"{share:.{d}%}" not in (f"{1:.{d}%}", f"{0:.{d}%}")), 6)
    return f"{share:.{decimals}%}"


def interval(bounds: tuple[float, float] | None) -> str:
    """Two shares as `89.5% to 97.7%`."""
    return UNKNOWN if bounds is None else f"{percent(bounds[0])} to {percent(bounds[1])}"


def points(change: float | None, sign: bool = False) -> str:
    """A difference of two shares in percentage points, as `0.27`; with `sign` as `+0.27`."""
    if change is None:
        return UNKNOWN
    # Without the zero a difference that rounds to nothing would be `-0.00`.
    rounded = round(100 * change, 2) + 0.0
    return f"{rounded:{'+' if sign and rounded else ''}.2f}".replace("-", "−")


def size(count: int | None) -> str:
    """Bytes in decimal units, as stores of apps count them: `734 B`, `12.3 kB`, `2.41 MB`."""
    if count is None:
        return UNKNOWN
    if count < 1000:
        return f"{count} B"
    # By what will be shown: 999,999 is 1 MB and not 1000 kB.
    power = min(int(math.log10(float(f"{count:.3g}")) / 3 + 1e-9), 3)
    return f"{float(f'{count / 1000**power:.3g}'):,g} {('', 'kB', 'MB', 'GB')[power]}"


def milliseconds(value: float | None) -> str:
    """A latency with three significant digits: `0.412 ms`, `12.3 ms`, `1,240 ms`."""
    if value is None:
        return UNKNOWN
    decimals = 0 if value <= 0 else max(0, 2 - math.floor(math.log10(value)))
    return f"{value:,.{min(decimals, 3)}f} ms"


def wilson(correct: int, total: int) -> tuple[float, float] | None:
    """The 95% interval of a share that was counted; None where nothing was.

    Wilson's score interval (Wilson 1927, "Probable inference, the law of succession, and statistical inference"). It
    stays within 0..1 and keeps its width at shares of 0 and 1, where the normal approximation claims to be certain.
    """
    if total <= 0:
        return None
    share, z2 = correct / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    # At the ends the formula gives 0 and 1 up to a rounding error that would be shown.
    return 0.0 if correct == 0 else max(0.0, centre - half), 1.0 if correct == total else min(1.0, centre + half)
