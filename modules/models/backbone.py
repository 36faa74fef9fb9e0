"""Assemble a backbone's graph: the input, the architecture's normalisation and its own layers."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.core.keras_defaults import set_keras_defaults
from edgetune.modules.settings.architectures import ARCHITECTURES, Architecture, Normalisation
from edgetune.modules.settings.run import ModelSettings

NORMALISATION = "normalisation"
"""Name of the normalisation layer in every backbone."""


class _ReversedChannels(keras.layers.Layer):
    """Layer from RGB float32 `[N, h, w, 3]` to blue, green, red, with `offset` added to the result's channels.

    It is a 1 x 1 convolution, which is exact in float32 and, unlike reversing an axis, supported by every converter,
    quantizer and phone accelerator.
    """

    def __init__(self, offset: tuple[float, ...], **arguments: Any) -> None:
        super().__init__(trainable=False, **arguments)
        self.offset = offset

    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        swap = np.eye(3, dtype=np.float32)[::-1].reshape(1, 1, 3, 3)
        swapped = keras.ops.conv(images, keras.ops.cast(swap, images.dtype), padding="valid")
        return swapped + keras.ops.cast(np.asarray(self.offset, np.float32), images.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "offset": self.offset}


def assemble(settings: ModelSettings, weights: str | None = None) -> keras.Model:
    """Assemble the backbone's graph as one flat model: input, normalisation, the architecture's own layers.

    Args:
        settings: `backbone`, `alpha`, `minimalistic` and `image_size` are used.
        weights: Passed to Keras: None for random weights, `imagenet` to let Keras find or download its own.

    Returns:
        Model named after the architecture. Input: float32 `[N, S, S, 3]`, RGB in 0..255, `S = image_size`. Output:
        float32 `[N, h, w, c]`, the last feature map.

    Raises:
        ConfigError: The architecture does not support `model.alpha` or `model.image_size`, or Keras already runs on
            another backend.
        Exception: What Keras raises when `imagenet` cannot be downloaded; `modules.models.weights` translates it.
    """
    set_keras_defaults()
    architecture = ARCHITECTURES[settings.backbone]
    options = _options(settings, architecture)
    shape = (settings.image_size, settings.image_size, 3)
    image = keras.Input(shape, dtype="float32", name="image")
    normalise = _layer(architecture.normalisation)
    entry = image if architecture.own_normalisation else normalise(image)
    try:
        with warnings.catch_warnings():
            # Keras warns that it takes ImageNet weights of another image size; they are the same at every size.
            warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square", UserWarning)
            body = architecture.build(input_shape=shape, input_tensor=entry, weights=weights, **options)
    except ValueError as error:
        if weights is not None:  # a ValueError from the download is not about the configuration
            raise
        raise ConfigError(
            f"{settings.backbone} cannot be built with model.alpha {settings.alpha} and model.image_size "
            f"{settings.image_size}: {str(error).splitlines()[0]}",
            "alpha scales the number of filters, which must be at least 1 (0.25 to 1.4 is usual); "
            f"image_size must be at least {architecture.min_image_size}",
        ) from error
    if architecture.own_normalisation:
        return _with_normalisation(body, normalise, settings.backbone, copy_weights=weights is not None)
    return keras.Model(image, body.output, name=settings.backbone)


def _options(settings: ModelSettings, architecture: Architecture) -> dict[str, Any]:
    options: dict[str, Any] = {"alpha": settings.alpha} if architecture.imagenet_alphas else {}
    if architecture.weighted_layers_minimalistic:
        options["minimalistic"] = settings.minimalistic
    return options


def _layer(normalisation: Normalisation) -> keras.layers.Layer:
    """Return a new layer that normalises float32 RGB in 0..255 for the architecture."""
    scale, offset = normalisation.scale, normalisation.offset
    if normalisation.reverse:
        return _ReversedChannels(offset[::-1], name=NORMALISATION)
    if len(set(scale)) == len(set(offset)) == 1:
        return keras.layers.Rescaling(scale[0], offset[0], name=NORMALISATION)
    return keras.layers.Rescaling(list(scale), list(offset), name=NORMALISATION)


def _with_normalisation(
    body: keras.Model, normalise: keras.layers.Layer, name: str, *, copy_weights: bool
) -> keras.Model:
    """Return `body` with `normalise` replacing the normalisation layers that Keras put before the first convolution."""
    normalised: list[Any] = []

    def call(layer: keras.layers.Layer, *inputs: Any, **arguments: Any) -> Any:
        if not isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)):
            return layer(*inputs, **arguments)
        if not normalised:
            normalised.append(normalise(*inputs))
        return normalised[0]

    # Clone the layers, because the `output` of a layer that is in two graphs is that of the first one.
    clone = keras.models.clone_model(body, call_function=call)
    if copy_weights:
        for layer in clone.layers:
            if layer.weights:
                layer.set_weights(body.get_layer(layer.name).get_weights())
    return keras.Model(clone.input, clone.output, name=name)
