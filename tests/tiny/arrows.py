"""A SavedModel that tells which side of an image is bright: its classes have an up, so a turned image is another one.

Its weights are set by hand. They differ between the channels, so that misread colours change the answer too.
"""

from __future__ import annotations

import functools
from pathlib import Path

import keras
import numpy as np

from edgetune.modules.images.reading import Reading
from edgetune.modules.serving.export import export_saved_model
from tests.tiny import transform
from tests.tiny.session import made_once

LABELS = ("down", "left", "right", "up")
SIZE = 32
READING = Reading(max_pixels=40_000, max_side=64, background=(255, 128, 0))


def net() -> keras.Model:
    """Return the network: float32 `[N, 32, 32, 3]` in 0..255 to probabilities in the order of `LABELS`."""
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(SIZE // 2)(x))
    dense = keras.layers.Dense(len(LABELS), activation="softmax")
    model = keras.Model(image, dense(x))
    sides = np.array([[[-1, 1], [-1, 1]], [[-1, -1], [1, 1]]])  # right and down, of a quarter by row and column
    rows = [sides[1], -sides[0], sides[0], -sides[1]]
    kernel = np.stack([np.multiply.outer(side, [1.2, 1.0, 0.6]).ravel() for side in rows], axis=1)
    dense.set_weights([kernel.astype(np.float32), np.zeros(len(LABELS), np.float32)])
    return model


@functools.cache
def saved_model() -> str:
    """Return the folder of the exported SavedModel, which reads as `READING` says."""

    def make(folder: Path) -> None:
        export_saved_model(net(), transform.graph(LABELS, SIZE, READING), SIZE, str(folder))

    return str(made_once("arrows", make))


def pixels(width: int = 48, height: int = 40) -> np.ndarray:
    """Return an image that is bright at the top, and a little brighter at the left: uint8 `[height, width, 3]`."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    bright = 230 - 190 * rows - 30 * columns
    return np.stack([bright, bright * 0.8, 40 + bright * 0.3], axis=-1).astype(np.uint8)
