"""Facts about what a picture shows, from 64 x 64 pixels: whether there is anything to see, and how well.

They are numbers, not verdicts: `modules.data.picture_findings` has the thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_GREY, _NEAR = 128, 2
"""What JPEG decoders fill blocks with that a file does not have: coefficients of 0 are the middle of the range."""


@dataclass(frozen=True)
class PictureFacts:
    """Facts about one picture."""

    contrast: float
    """Largest standard deviation of luma and both chromas, in 8-bit levels."""
    sharpness: float
    """Standard deviation of the Laplacian of luma, divided by that of luma, 0..8; 0 for a plain picture. Blur lowers
    it, and neither brightness nor contrast change it."""
    brightest: float
    """99th percentile of luma, 0..1."""
    darkest: float
    """5th percentile of luma, 0..1."""
    grey_below: float
    """Share of rows at the lower edge that are the grey of missing data, 0..1."""


def picture_facts(rgb: np.ndarray, ycbcr: np.ndarray) -> PictureFacts:
    """Compute the facts.

    Args:
        rgb: uint8 `[S, S, 3]`, the picture scaled down to a square.
        ycbcr: float32 `[S, S, 3]`, the same in YCbCr, 0..255.
    """
    luma = ycbcr[..., 0]
    deviation = ycbcr.std(axis=(0, 1))
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    # Percentiles from counts take a tenth of the time of `np.percentile`.
    below = np.bincount(luma.astype(np.uint8).ravel(), minlength=256).cumsum() / luma.size
    darkest, brightest = (int(np.searchsorted(below, share)) for share in (0.05, 0.99))
    return PictureFacts(
        contrast=float(deviation.max()),
        sharpness=float(laplacian.std() / deviation[0]) if deviation[0] >= 1 else 0.0,
        brightest=brightest / 255,
        darkest=darkest / 255,
        grey_below=_grey_rows(rgb) / len(rgb),
    )


def _grey_rows(rgb: np.ndarray) -> int:
    """Return the number of grey rows at the lower edge; 0 if all are, for that is a plain picture."""
    for number, row in enumerate(rgb[::-1]):
        if np.abs(row.astype(np.int16) - _GREY).max() > _NEAR:
            return number
    return 0
