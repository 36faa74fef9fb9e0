"""The variables of a model by name and the types that it computes in, including those of nested models."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np


def variables(model: keras.Model) -> dict[str, np.ndarray]:
    found = {f"{owner.name}/{variable.path}": variable.numpy() for owner, variable in _owned(model)}
    assert len(found) == len(model.variables) - _seeds(model)
    return found


def compute_dtypes(model: keras.Model) -> set[str]:
    """Return the types in which the layers with weights compute."""
    return {owner.compute_dtype for owner, _ in _owned(model)}


def _owned(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, keras.Variable]]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _owned(layer)
        else:
            yield from ((layer, variable) for variable in layer.weights)


def _seeds(model: keras.Model) -> int:
    return sum("seed_generator" in variable.path for variable in model.variables)
