"""What an answer depends on, of classifiers that look at one place."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from edgetune.modules.evaluation.occlusion import GRID, sensitivity, spotlight

SIZE = 70
ROW, COLUMN = 1, 5
"""Cell of the grid that has the white square."""


def picture() -> np.ndarray:
    """Return a black image with a white square in one cell: uint8 `[SIZE, SIZE, 3]`."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[10 * ROW : 10 * ROW + 10, 10 * COLUMN : 10 * COLUMN + 10] = 255
    return pixels


def sees_the_square(encoded):
    """Name class 1 by the light in the cell."""
    images = [np.asarray(Image.open(io.BytesIO(content))) for content in encoded]
    light = [image[10 * ROW : 10 * ROW + 10, 10 * COLUMN : 10 * COLUMN + 10].mean() / 255 for image in images]
    return np.array([[1 - share, share] for share in light])


def test_the_answer_depends_on_the_place_that_the_classifier_looks_at():
    falls = sensitivity(picture(), sees_the_square)
    assert falls.shape == (GRID, GRID)
    assert np.unravel_index(falls.argmax(), falls.shape) == (ROW, COLUMN)
    # All of the square is covered by its cell's cover, with the mean colour of the image: 255 / 49.
    assert falls[ROW, COLUMN] == np.float64(1 - round(255 / 49) / 255)
    # The cover is twice as wide as a cell, so that the next ones cover a half and a quarter; others nothing.
    assert falls[ROW, COLUMN - 1] == falls[ROW + 1, COLUMN] and 0.48 < falls[ROW + 1, COLUMN] < 0.5
    assert 0.24 < falls[ROW + 1, COLUMN - 1] < 0.25
    assert np.count_nonzero(falls) == 9


def test_the_spotlight_is_on_that_place_and_the_rest_is_dark():
    pixels = np.full((SIZE, SIZE, 3), 200, np.uint8)
    lit = np.asarray(spotlight(pixels, sensitivity(picture(), sees_the_square)))
    centre = lit[10 * ROW + 5, 10 * COLUMN + 5]
    assert lit.shape == pixels.shape and centre.min() > 190
    assert lit[-10:, :10].max() == 40  # a fifth of the light


def test_no_spotlight_if_no_part_decides_alone():
    falls = sensitivity(picture(), lambda encoded: np.full((len(encoded), 2), 0.5))
    assert not falls.any() and spotlight(picture(), falls) is None
