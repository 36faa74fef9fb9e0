"""A network that distinguishes colours like `tests.tiny.model`, with activations so large that its pool overflows half.

Its pool sums 1,024 values of about 100 in the strongest channel: more than 65,504, the largest half float.
"""

from __future__ import annotations

import functools
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from edgetune.modules.contracts.signatures import EDGE
from edgetune.modules.conversion.converter import Converter, Optimize
from tests.tiny import model as tiny_model
from tests.tiny.session import made_once

GAIN = 100.0
"""Activations are `GAIN * pixel / 127.5`, from 0 to 200."""


def _model() -> keras.Model:
    image = keras.Input((tiny_model.SIZE, tiny_model.SIZE, 3), name="image")
    conv = keras.layers.Conv2D(3, 1, activation="relu", name="loud")
    dense = keras.layers.Dense(len(tiny_model.LABELS), activation="softmax")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(conv(keras.layers.Rescaling(1 / 127.5)(image)))
    made = keras.Model(image, dense(x))
    conv.set_weights([GAIN * np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3), np.zeros(3, np.float32)])
    # Labels are blue, green, red; channels are red, green, blue.
    dense.set_weights([8 / GAIN * np.eye(3, dtype=np.float32)[::-1], np.zeros(3, np.float32)])
    return made


@functools.cache
def saved_model() -> str:
    """Return the network as a SavedModel with all signatures."""
    return str(made_once("loud", lambda to: tiny_model.save(_model(), to)))


@functools.cache
def one_step() -> bytes:
    """Return `float16` as the converter writes it, with the pool as one MEAN."""

    def convert(folder: Path) -> None:
        converter = Converter.from_saved_model(saved_model(), signature_keys=[EDGE])
        converter.optimizations = [Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
        folder.mkdir()
        (folder / "float16").write_bytes(converter.convert())

    return (made_once("loud-converted", convert) / "float16").read_bytes()
