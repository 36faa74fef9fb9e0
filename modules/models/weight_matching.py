"""Check stored weights against a network, assign them, or tell which architecture they are of."""

from __future__ import annotations

import keras
import numpy as np

from edgetune.modules.core.errors import WeightsError
from edgetune.modules.models.weight_formats import StoredLayer, UnreadableWeights, weighted_layers
from edgetune.modules.settings.architectures import ARCHITECTURES, IMAGENET_DEVIATION, IMAGENET_MEAN
from edgetune.modules.settings.run import ModelSettings

_CLASSIFIER_LAYERS = 2  # a classifier has one layer with weights, or two in MobileNetV3 or with a hidden layer


def assign_weights(backbone: keras.Model, stored: list[StoredLayer], path: str, settings: ModelSettings) -> None:
    """Assign stored weights to a backbone after checking all of them.

    Layers are paired in order, not by name, because old files have other names.

    Args:
        backbone: A model of the architecture in `settings`, modified in place.
        stored: Layers in the order of the network.
        path: Path for error messages.
        settings: Architecture and width for error messages.

    Raises:
        WeightsError: The weights are of another architecture or width, or have non-finite or non-float values.
        UnreadableWeights: The values are damaged.
    """
    stored = _without_normalisation(stored, path, settings)
    layers = weighted_layers(backbone)
    model = _name(settings)
    remedy = f"set model.weights to weights of {model} without its classifier, or correct {_keys(settings)}"
    if len(stored) != len(layers):
        raise WeightsError(
            f"{path} has {len(stored)} layers with weights, but {model} has {len(layers)}: "
            f"{_explanation(stored, len(layers))}",
            remedy,
        )
    for layer, entry in zip(layers, stored, strict=True):
        expected = [tuple(variable.shape) for variable in layer.weights]
        shapes = [tuple(array.shape) for array in entry.arrays]
        if shapes != expected:
            raise WeightsError(
                f"{path} does not match {model}: the layer {layer.name} expects {_shapes(expected)}, but the file has "
                f"{_shapes(shapes)} (as {entry.name}){_if_another(stored, settings)}",
                remedy,
            )
    values = [[_values(array, entry.name, path) for array in entry.arrays] for entry in stored]
    for layer, arrays in zip(layers, values, strict=True):
        for variable, array in zip(layer.weights, arrays, strict=True):
            variable.assign(array)


def matching_architectures(stored: list[StoredLayer]) -> list[str]:
    """Return the architectures with as many weighted layers; of several, only those that can have as many features."""
    widest = max((array.shape[-1] for entry in stored[-2:] for array in entry.arrays if array.shape), default=0)
    found = [name for name, a in ARCHITECTURES.items() if len(stored) == a.weighted_layers]
    if len(found) > 1:
        found = [n for n in found if ARCHITECTURES[n].imagenet_alphas or ARCHITECTURES[n].features == widest]
    minimalistic = [name for name, a in ARCHITECTURES.items() if len(stored) == a.weighted_layers_minimalistic]
    return found + [f"{name} minimalistic" for name in minimalistic]


def _explanation(stored: list[StoredLayer], expected: int) -> str:
    if names := matching_architectures(stored):
        return f"it is of another architecture, by its layers {' or '.join(names)}"
    if 0 < len(stored) - expected <= _CLASSIFIER_LAYERS:
        return "it is of another architecture, or has a classifier"
    if names := [name for extra in (1, 2) for name in matching_architectures(stored[:-extra])]:
        return f"it is of another architecture and has a classifier, by its layers {' or '.join(names)}"
    return "it is of another architecture, or has a classifier"


def _if_another(stored: list[StoredLayer], settings: ModelSettings) -> str:
    """Return `; by its layers it is efficientnet_b2`, or nothing if the architecture matches or is unknown."""
    names = matching_architectures(stored)
    own = f"{settings.backbone} minimalistic" if settings.minimalistic else settings.backbone
    return f"; by its layers it is {' or '.join(names)}" if names and own not in names else ""


def _without_normalisation(stored: list[StoredLayer], path: str, settings: ModelSettings) -> list[StoredLayer]:
    """Remove the normalisation that Keras's EfficientNets store in front of the network, if it is equivalent to ours.

    Keras's files have the standard deviation where the layer expects the variance, and Keras compensates for that when
    it loads them itself (https://github.com/tensorflow/tensorflow/issues/49930).
    """
    if not ARCHITECTURES[settings.backbone].own_normalisation:
        return stored
    # In `.weights.h5`, whose order is that of the network, layers that the network does not have come last.
    for entry in stored[:1] + stored[-1:]:
        if [tuple(array.shape) for array in entry.arrays[:2]] == [(3,), (3,)]:
            break
    else:
        return stored
    mean, variance = (_values(array, entry.name, path) for array in entry.arrays[:2])
    deviation = np.asarray(IMAGENET_DEVIATION)
    alike = [np.allclose(variance, expected, atol=1e-3) for expected in (deviation, deviation**2)]
    if not np.allclose(mean, IMAGENET_MEAN, atol=1e-3) or not any(alike):
        raise WeightsError(
            f"{path} was trained on images normalised with mean {mean} and variance {variance}, but "
            f"{settings.backbone} uses those of ImageNet, {IMAGENET_MEAN} and {tuple(deviation**2)}",
            "use weights that were pretrained on ImageNet, or set model.weights to `imagenet`",
        )
    return [other for other in stored if other is not entry]


def _values(array: object, layer: str, path: str) -> np.ndarray:
    try:
        values = np.asarray(array[()])  # type: ignore[index]
    except Exception as error:  # h5py raises almost anything on a damaged file
        raise UnreadableWeights(f"the values of the layer {layer} are damaged: {error}") from error
    if values.dtype.kind != "f":
        raise WeightsError(f"{path} stores the layer {layer} as {values.dtype}", "use a file of float weights")
    if not np.isfinite(values).all():
        raise WeightsError(f"{path} has values in the layer {layer} that are not finite", "download the file again")
    return values.astype(np.float32)


def _name(settings: ModelSettings) -> str:
    name = f"{'minimalistic ' if settings.minimalistic else ''}{settings.backbone}"
    return f"{name} with alpha {settings.alpha}" if ARCHITECTURES[settings.backbone].imagenet_alphas else name


def _keys(settings: ModelSettings) -> str:
    return "backbone and alpha" if ARCHITECTURES[settings.backbone].imagenet_alphas else "model.backbone"


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) or "scalar" for shape in shapes) or "nothing"
