"""How a photograph becomes upright 8-bit sRGB pixels: the settings that are part of every exported graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgetune.modules.core import bounds

MOST_SIDE = 1 << 14
"""Pixels of the longer side that no read image exceeds. Resizing a line of a million pixels, a file of 200 bytes, would
take gigabytes: it needs memory for the width of the image times the height of the result."""


@dataclass(frozen=True)
class Reading:
    """Options of reading, as documented in `modules.settings.data.DataSettings`."""

    max_pixels: int = bounds.MAX_PIXELS
    """Images with more pixels are refused before any pixel is decoded."""
    max_side: int | None = None
    """Images whose longer side exceeds this many pixels are scaled down to it; None keeps their size
    up to `MOST_SIDE`."""
    background: tuple[int, int, int] = (255, 255, 255)
    """Red, green and blue behind transparent pixels, 0..255, in sRGB."""
    verify: bool = False
    """Whether Pillow decodes each JPEG and PNG first, in a process that may die. The pixels do not depend on it."""

    @property
    def side(self) -> int:
        """Return the longer side, in pixels, to which larger images are scaled down."""
        return min(self.max_side or MOST_SIDE, MOST_SIDE)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Reading:
        """Return the options of a mapping by their names.

        `background` is a sequence, as in JSON, or `#rrggbb`, and `max_side` is 0 for None, as in execution properties.
        `verify` is `verify_images`, if it is there.
        """
        background = values["background"]
        if isinstance(background, str):
            background = bytes.fromhex(background.removeprefix("#"))
        red, green, blue = background
        verify = bool(values.get("verify_images", False))
        return cls(values["max_pixels"], values["max_side"] or None, (red, green, blue), verify)
