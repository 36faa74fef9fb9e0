"""Every supported architecture, built once for all tests: the largest take seconds."""

from __future__ import annotations

import functools
from typing import get_args

import keras
import pytest

from edgetune.modules.models.backbone import assemble
from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.training import Backbone, ModelSettings

NAMES: tuple[str, ...] = get_args(Backbone)
VARIANTS = NAMES + tuple(f"{name} minimalistic" for name in NAMES if ARCHITECTURES[name].weighted_layers_minimalistic)
"""Names of all architectures and of their minimalistic variants."""
_LARGER = {"resnet101", *(f"efficientnet_b{n}" for n in range(1, 8)), *(f"efficientnet_v2_b{n}" for n in range(1, 4))}
PARAMETERS = [pytest.param(name, marks=pytest.mark.large) if name in _LARGER else name for name in VARIANTS]
"""All variants; those that only have more and wider layers than the first of their family are for `make large-test`."""


def settings_of(variant: str) -> ModelSettings:
    """Return the settings of a variant with its smallest image size."""
    name, _, minimalistic = variant.partition(" ")
    size = ARCHITECTURES[name].min_image_size
    return ModelSettings(backbone=name, weights="none", image_size=size, minimalistic=bool(minimalistic))


@functools.cache
def built(variant: str) -> keras.Model:
    """Return the backbone with random weights. Tests may only freeze and unfreeze it."""
    keras.utils.set_random_seed(1)
    return assemble(settings_of(variant))
