"""A small network with the operations of MobileNetV3, as a LiteRT model in float32, converted once for all tests.

Its first kernel is a hundred times as large for one channel as for another, like those of trained networks. Its weights
are random, and its head is large enough that predictions are not ties.
"""

from __future__ import annotations

import functools

import keras
import numpy as np

from edgetune.modules.contracts.signatures import EDGE
from edgetune.modules.conversion.converter import Converter
from edgetune.modules.litert.graph import Network, read_network
from tests.tiny import model as tiny_model
from tests.tiny.session import made_once

SIZE = tiny_model.SIZE
_WIDE, _SQUEEZED = 8, 4
_LOUDEST, _QUIETEST = 2.0, 0.02
_SILENCING = -1000.0  # a bias that dominates every image


def model(*, added: bool = False, silent: bool = False) -> keras.Model:
    """Input float32 `[N, 32, 32, 3]` in 0..255, output probabilities of three classes.

    Args:
        added: Whether a sum also reads the first hard swish, which no real network has.
        silent: Whether the squeezed channels are 0 for every image, as in a trained MobileNetV3 for photographs of
            flowers.
    """
    keras.utils.set_random_seed(1)
    layers = keras.layers
    image = keras.Input((SIZE, SIZE, 3), name="image")
    first = layers.Conv2D(_WIDE, 3, strides=2, padding="same", name="first")
    x = layers.Activation("hard_swish")(first(layers.Rescaling(1 / 127.5, -1.0)(image)))
    z = layers.Conv2D(_WIDE, 1)(x)
    y = layers.ReLU()(layers.DepthwiseConv2D(3, padding="same")(x))
    bias = keras.initializers.Constant(_SILENCING if silent else 0.0)
    squeeze = layers.Conv2D(_SQUEEZED, 1, activation="relu", bias_initializer=bias)
    squeezed = squeeze(layers.GlobalAveragePooling2D(keepdims=True)(y))
    gate = layers.ReLU(6.0)(layers.Conv2D(_WIDE, 1)(squeezed) + 3.0) * (1 / 6)
    x = layers.Add()([x if added else z, layers.Conv2D(_WIDE, 1)(layers.Multiply()([y, gate]))])
    x = layers.Activation("hard_swish")(layers.Conv2D(2 * _WIDE, 1, name="last")(x))
    x = layers.Dense(_WIDE, activation="relu")(layers.GlobalAveragePooling2D()(x))
    head = layers.Dense(3, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=4.0))
    made = keras.Model(image, head(x))
    kernel, bias = first.get_weights()
    first.set_weights([kernel * np.geomspace(_LOUDEST, _QUIETEST, _WIDE, dtype=np.float32), bias])
    return made


@functools.cache
def saved_model(*, added: bool = False, silent: bool = False) -> str:
    """Return the network as a SavedModel with all signatures."""
    made = made_once(f"swish-{added}-{silent}", lambda to: tiny_model.save(model(added=added, silent=silent), to))
    return str(made)


@functools.cache
def content(*, added: bool = False, silent: bool = False) -> bytes:
    """Return the network as converted to float32."""
    saved = saved_model(added=added, silent=silent)
    return bytes(Converter.from_saved_model(saved, signature_keys=[EDGE]).convert())


def network(*, added: bool = False) -> Network:
    """Return the network as operations, parsed for each call."""
    return read_network(content(added=added))


def images(count: int = 12) -> np.ndarray:
    """Return uint8 `[count, 32, 32, 3]`: from dark to bright, not of one colour as in `tests.tiny.model`."""
    rng = np.random.default_rng(1)
    brightest = rng.integers(40, 256, (count, 1, 1, 3))
    return (rng.random((count, SIZE, SIZE, 3)) * brightest).astype(np.uint8)
