"""Which parts of an image an answer depends on: occlusion sensitivity.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2: cover a part of the
image, and see how far the probability of the class falls. It needs answers only, no gradients, so it works with what a
server loads.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

GRID = 7
"""Rows and columns of positions of the cover."""
_LEAST = 0.02
"""A fall of the probability below this says nothing: then no part of the image decides alone."""
_DARK = 0.2
"""Share of the light that is left where the cover changed nothing."""

Ask = Callable[[Sequence[bytes]], np.ndarray]
"""Encoded images to probabilities, float32 `[N, C]`."""


def sensitivity(pixels: np.ndarray, ask: Ask) -> np.ndarray:
    """Return how far the probability of the predicted class falls if a part of the image is covered.

    The cover has the mean colour of the image and is twice as wide as the distance of its positions, so that what lies
    between two positions is covered too.

    Args:
        pixels: uint8 `[S, S, 3]`, as the network gets them.
        ask: The classifier.

    Returns:
        float `[GRID, GRID]`, -1..1.
    """
    size = len(pixels)
    edges = np.linspace(0, size, GRID + 1)
    margin = size / GRID / 2
    starts = np.maximum(edges[:-1] - margin, 0).round().astype(int)
    ends = np.minimum(edges[1:] + margin, size).round().astype(int)
    mean = pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    images = [pixels]
    for top, bottom in zip(starts, ends, strict=True):
        for left, right in zip(starts, ends, strict=True):
            covered = pixels.copy()
            covered[top:bottom, left:right] = mean
            images.append(covered)
    answers = np.asarray(ask([_png(image) for image in images]), float)
    of_class = answers[:, answers[0].argmax()]
    return np.asarray((of_class[0] - of_class[1:]).reshape(GRID, GRID))


def spotlight(pixels: np.ndarray, falls: np.ndarray) -> Image.Image | None:
    """Return the image with light where covering it changed the answer most; None if no part decides alone.

    Args:
        pixels: uint8 `[S, S, 3]`.
        falls: As `sensitivity` returns them.
    """
    if (most := float(falls.max())) < _LEAST:
        return None
    shares = Image.fromarray(np.clip(falls / most, 0, 1).astype(np.float32), "F")
    size = len(pixels)
    light = np.clip(np.asarray(shares.resize((size, size), Image.Resampling.BICUBIC)), 0, 1)[..., None]
    return Image.fromarray((pixels * (_DARK + (1 - _DARK) * light)).round().astype(np.uint8))


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
