"""When two classifiers answer alike."""

from __future__ import annotations

import functools

import numpy as np

from edgetune.modules.litert.interpreter import EdgeRunner
from tests.clients.photo_bundle import Made

# Of the images; the float variants must agree on all.
INT8_AGREEMENT = 0.97
# Largest difference of one probability. The 8-bit variant's output has steps of 1/256, and a step in an early layer
# can become a few of them.
WITHIN = {"float32": 1e-4, "float16": 1e-4, "int8": 0.05}


def assert_same_variant(found: np.ndarray, expected: np.ndarray, variant: str) -> None:
    """As `assert_same`, within what current runtimes must keep."""
    assert_same(found, expected, variant, WITHIN[variant])


def assert_same(found: np.ndarray, expected: np.ndarray, variant: str, within: float) -> None:
    """Require the same best class on all images (`int8`: on `INT8_AGREEMENT`), and probabilities `within` a bound.

    Args:
        found: Probabilities, `[N, C]`.
        expected: The same.
        variant: Of the model that gave both.
        within: Largest difference of one probability.
    """
    assert found.shape == expected.shape
    agreement = np.mean(found.argmax(axis=1) == expected.argmax(axis=1))
    assert agreement >= (INT8_AGREEMENT if variant == "int8" else 1.0), agreement
    assert np.abs(found - expected).max() <= within


@functools.cache
def ours(made: Made, variant: str) -> np.ndarray:
    """Return what our own interpreter answers on a bundle's images, float32 `[N, C]`."""
    return EdgeRunner(made.model(variant).read_bytes()).probabilities(np.load(made.images))
