"""A backbone of two blocks that replaces MobileNetV2 in tests of the training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import pytest

from edgetune.modules.settings import architectures
from edgetune.modules.settings.run import ModelSettings

SETTINGS = {"weights": "none", "image_size": 32, "head": {"units": (8,), "dropout": (0.2,)}}
LAST_BLOCK = 3
"""Layers of the block nearest to the output."""


def build(
    input_shape: tuple[int, ...], input_tensor: keras.KerasTensor, alpha: float, weights: str | None
) -> keras.Model:
    x = input_tensor
    for number in (1, 2):
        x = keras.layers.Conv2D(8, 3, strides=4, padding="same", name=f"block_{number}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block_{number}_bn")(x)
        x = keras.layers.ReLU(name=f"block_{number}_relu")(x)
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x)


def use(monkeypatch: pytest.MonkeyPatch, build: Callable[..., keras.Model] = build) -> None:
    """Replace MobileNetV2 by it, or by another network with the same names of blocks."""
    tiny = dataclasses.replace(
        architectures.ARCHITECTURES["mobilenet_v2"], build=build, blocks=((r"block_(\d+)_", r"block_\1"),)
    )
    monkeypatch.setitem(architectures.ARCHITECTURES, "mobilenet_v2", tiny)


def settings() -> ModelSettings:
    """Return the settings of a classifier with it."""
    return ModelSettings(**SETTINGS)
