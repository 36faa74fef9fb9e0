"""A backbone of two blocks that stands for MobileNetV2 where a test is about training and not about the network."""

from __future__ import annotations

import dataclasses

import keras
import pytest

from edgetune.modules.settings import architectures
from edgetune.modules.settings.run import ModelSettings

SETTINGS = {"weights": "none", "image_size": 32, "head": {"units": (8,), "dropout": (0.2,)}}
LAST_BLOCK = 3
"""Layers of the block nearest to the output."""


def _build(
    input_shape: tuple[int, ...], input_tensor: keras.KerasTensor, alpha: float, weights: str | None
) -> keras.Model:
    x = input_tensor
    for number in (1, 2):
        x = keras.layers.Conv2D(8, 3, strides=4, padding="same", name=f"block_{number}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block_{number}_bn")(x)
        x = keras.layers.ReLU(name=f"block_{number}_relu")(x)
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x)


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts it in the place of MobileNetV2."""
    tiny = dataclasses.replace(
        architectures.ARCHITECTURES["mobilenet_v2"], build=_build, blocks=((r"block_(\d+)_", r"block_\1"),)
    )
    monkeypatch.setitem(architectures.ARCHITECTURES, "mobilenet_v2", tiny)


def settings() -> ModelSettings:
    """Settings of a classifier on it."""
    return ModelSettings(**SETTINGS)
