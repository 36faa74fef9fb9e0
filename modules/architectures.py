"""The architectures a backbone can have: one entry each, with its builder, its own normalisation and its blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from modules.errors import ConfigError
from modules.settings import ModelSettings

NORMALISATION = "normalisation"


@dataclass(frozen=True)
class Architecture:
    """What edgetune has to know of an architecture beyond what Keras knows."""

    build: Callable[..., keras.Model]
    """`build(input_shape=, input_tensor=, alpha=, weights=)`: the network without its classifier and without
    normalisation."""
    normalisation: Callable[[], keras.layers.Layer]
    """A new layer that takes float32 RGB in 0..255 to what the architecture's ImageNet weights were trained on."""
    blocks: tuple[tuple[str, str], ...]
    """Pairs of a regular expression that a layer's name matches from its beginning, and the name of the block that
    such a layer belongs to (`\\1` is the expression's first group). A layer that matches none, because Keras
    numbers it anew in every process, belongs to the block of the layer before it."""
    imagenet_alphas: tuple[float, ...]
    """Width multipliers for which Keras offers ImageNet weights."""


def _minus_one_to_one() -> keras.layers.Layer:
    """0..255 to -1..1, as `preprocess_input` does in its mode `tf`."""
    return keras.layers.Rescaling(1.0 / 127.5, offset=-1.0, name=NORMALISATION)


def _mobilenet(**arguments: object) -> keras.Model:
    return keras.applications.MobileNet(include_top=False, **arguments)


def _mobilenet_v2(**arguments: object) -> keras.Model:
    return keras.applications.MobileNetV2(include_top=False, **arguments)


# MobileNetV3 would bring its own Rescaling with a name that Keras numbers; ours has the same name everywhere.
def _mobilenet_v3_small(**arguments: object) -> keras.Model:
    return keras.applications.MobileNetV3Small(include_top=False, include_preprocessing=False, **arguments)


def _mobilenet_v3_large(**arguments: object) -> keras.Model:
    return keras.applications.MobileNetV3Large(include_top=False, include_preprocessing=False, **arguments)


_V3_BLOCKS = (
    (r"conv(_bn)?$", "stem"),
    (r"expanded_conv_(\d+)_", r"expanded_conv_\1"),
    (r"expanded_conv_", "expanded_conv"),
    (r"conv_1(_bn)?$", "last"),
)

ARCHITECTURES: dict[str, Architecture] = {
    "mobilenet": Architecture(
        build=_mobilenet,
        normalisation=_minus_one_to_one,
        blocks=((r"conv1(_|$)", "stem"), (r"conv_(?:pad|dw|pw)_(\d+)(?:_|$)", r"block_\1")),
        imagenet_alphas=(0.25, 0.5, 0.75, 1.0),
    ),
    "mobilenet_v2": Architecture(
        build=_mobilenet_v2,
        normalisation=_minus_one_to_one,
        blocks=(
            (r"(bn_)?Conv1(_relu)?$", "stem"),
            (r"expanded_conv_", "expanded_conv"),
            (r"block_(\d+)_", r"block_\1"),
            (r"(Conv_1(_bn)?|out_relu)$", "last"),
        ),
        imagenet_alphas=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    ),
    "mobilenet_v3_small": Architecture(
        build=_mobilenet_v3_small,
        normalisation=_minus_one_to_one,
        blocks=_V3_BLOCKS,
        imagenet_alphas=(0.75, 1.0),
    ),
    "mobilenet_v3_large": Architecture(
        build=_mobilenet_v3_large,
        normalisation=_minus_one_to_one,
        blocks=_V3_BLOCKS,
        imagenet_alphas=(0.75, 1.0),
    ),
}


def assemble(settings: ModelSettings, weights: str | None = None) -> keras.Model:
    """The backbone's graph as one flat model: input, normalisation, the architecture's own layers.

    Args:
        settings: `backbone`, `alpha` and `image_size` are used.
        weights: Handed to Keras: None for random weights, `imagenet` to let Keras find or download its own.

    Returns:
        Model named after the architecture. Input float32 `[N, S, S, 3]`, RGB in 0..255, `S = image_size`; output
        float32 `[N, h, w, c]`, the last feature map.

    Raises:
        ConfigError: The architecture refuses `model.alpha` or `model.image_size`.
        Exception: What Keras raises when `imagenet` cannot be downloaded; `modules.weights` translates it.
    """
    architecture = ARCHITECTURES[settings.backbone]
    if weights == "imagenet" and settings.alpha not in architecture.imagenet_alphas:
        allowed = ", ".join(str(alpha) for alpha in architecture.imagenet_alphas)
        raise ConfigError(
            f"model.alpha is {settings.alpha}, and there are no ImageNet weights of {settings.backbone} for it",
            f"set model.alpha to one of {allowed}, or model.weights to `none` or to a file",
        )
    shape = (settings.image_size, settings.image_size, 3)
    image = keras.Input(shape, dtype="float32", name="image")
    normalised = architecture.normalisation()(image)
    try:
        body = architecture.build(input_shape=shape, input_tensor=normalised, alpha=settings.alpha, weights=weights)
    except ValueError as error:
        if weights is not None:  # the download's own ValueError is not about the configuration
            raise
        raise ConfigError(
            f"{settings.backbone} cannot be built with model.alpha {settings.alpha} and model.image_size "
            f"{settings.image_size}: {str(error).splitlines()[0]}",
            "alpha scales the number of filters, which must stay at 1 or more (0.25 to 1.4 is usual); "
            "image_size must be at least 32",
        ) from error
    return keras.Model(image, body.output, name=settings.backbone)
