"""Read an image with libvips, as a second opinion on the pixels that edgetune reads."""

from __future__ import annotations

import numpy as np
import pyvips


class Refused(Exception):
    """libvips does not read the file; the message is its own."""


def read(content: bytes, background: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Return an image as upright sRGB over a background, uint8 `[height, width, 3]`.

    Raises:
        Refused: libvips does not read it, or only a part of it.
    """
    try:
        image = pyvips.Image.new_from_buffer(content, "", fail_on="truncated").autorot()
        alpha = None
        if image.hasalpha():
            alpha = image[image.bands - 1]
            alpha = (alpha / (65535 if image.format == "ushort" else 255)).copy_memory()
            image = image[: image.bands - 1]
        colors = _srgb(image)
        if alpha is not None:
            colors = colors * alpha + (1 - alpha) * list(background)
        pixels = (colors + 0.5).floor().cast("uchar").numpy() if alpha is not None else colors.cast("uchar").numpy()
    except pyvips.Error as error:
        raise Refused(" ".join(str(error).split())) from error
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return np.ascontiguousarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3])


def _srgb(image: pyvips.Image) -> pyvips.Image:
    if image.get_typeof("icc-profile-data"):
        try:
            return image.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)
        except pyvips.Error:  # the profile is damaged, or for other pixels: as viewers do, leave it out
            image = image.copy()
            image.remove("icc-profile-data")
    return image.colourspace("srgb")
