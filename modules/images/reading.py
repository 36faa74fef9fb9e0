"""How a photograph becomes upright 8-bit sRGB pixels: the settings that are part of every exported graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """Options of reading, as documented in `modules.settings.data.DataSettings`."""

    max_pixels: int = 89_478_485
    """Images with more pixels are refused before any pixel is decoded."""
    max_side: int | None = None
    """Images whose longer side exceeds this many pixels are scaled down to it; None keeps their size."""
    background: tuple[int, int, int] = (255, 255, 255)
    """Red, green and blue behind transparent pixels, 0..255, in sRGB."""
