"""A SavedModel that tells which side of an image is bright: its classes have an up, so a turned image is another one.

Its weights are set by hand. They differ between the channels, so that misread colours change the answer too.
"""

from __future__ import annotations

import functools
from pathlib import Path

import keras
import numpy as np

from edgetune.modules.serving.export import export_saved_model
from tests.helpers.camera_files import READING
from tests.tiny import transform
from tests.tiny.session import made_once

LABELS = ("down", "left", "right", "up")
SIZE = 32


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
