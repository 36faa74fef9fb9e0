"""Table of the backbone architectures, as plain data, so that settings can be checked without importing Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

RGB = tuple[float, float, float]
Patterns = tuple[tuple[str, str], ...]

# Per-channel statistics of ImageNet for RGB: in 0..1, and in 0..255 the mean that Caffe's models subtract.
IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION: RGB = (0.229, 0.224, 0.225)
_CAFFE_MEAN: RGB = (123.68, 116.779, 103.939)


@dataclass(frozen=True)
class Normalisation:
    """Input normalisation of RGB in 0..255 before the first layer: `value * scale + offset` per channel."""

    scale: RGB
    offset: RGB
    reverse: bool = False
    """Whether the channels are then reordered to blue, green, red. `scale` and `offset` are in RGB order."""


def _rgb(values: Iterable[float]) -> RGB:
    red, green, blue = values
    return red, green, blue


MINUS_ONE_TO_ONE = Normalisation((1 / 127.5,) * 3, (-1.0,) * 3)
"""Keras's `preprocess_input` with mode `tf`."""
CAFFE = Normalisation((1.0,) * 3, _rgb(-mean for mean in _CAFFE_MEAN), reverse=True)
"""Keras's `preprocess_input` with mode `caffe`."""
STANDARD = Normalisation(
    _rgb(1 / 255 / deviation for deviation in IMAGENET_DEVIATION),
    _rgb(-mean / deviation for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)),
)
"""Keras's `preprocess_input` with mode `torch`: the first layers of its EfficientNets with ImageNet weights."""


@dataclass(frozen=True)
class Architecture:
    """Facts about an architecture that Keras does not provide."""

    build: Callable[..., Any]
    """`build(input_shape=, input_tensor=, weights=)`, plus `alpha=` and `minimalistic=` if it has them; returns the
    network without its classifier."""
    normalisation: Normalisation
    """Input normalisation that its ImageNet weights were trained with."""
    blocks: Patterns
    """Pairs of a regular expression for the start of a layer's name, and the name of the block that it belongs to
    (`\\1` is the expression's first group). A layer that matches no expression belongs to the block of the layer
    before it; with `closing`, the pairs identify the last layer of each block instead."""
    image_size: int
    """Default height and width, in pixels: those of the ImageNet training."""
    unfreeze: int
    """Layers to fine-tune by default, counted from the output: whole blocks with at least half of the weights."""
    weighted_layers: int
    """Number of layers with weights, which identifies the architecture of a weights file."""
    features: int
    """Channels of the last feature map at alpha 1, which distinguish architectures with as many layers."""
    imagenet_alphas: tuple[float, ...] = ()
    """Width multipliers for which Keras has ImageNet weights; empty if the architecture has no multiplier."""
    min_image_size: int = 32
    """Smallest height and width that Keras accepts, in pixels."""
    closing: bool = False
    """Whether `blocks` matches the last layer of each block, for networks whose other layers have no stable name."""
    weighted_layers_minimalistic: int | None = None
    """`weighted_layers` of the variant without squeeze-and-excite, hard swish and 5x5 convolutions; None if there is no
    such variant."""
    own_normalisation: bool = False
    """Whether Keras builds a normalisation into the model that has to be replaced by ours."""


def _keras(name: str, **fixed: object) -> Callable[..., Any]:
    """Return a builder for `keras.applications.<name>`, which imports Keras only when it is called."""

    def build(**arguments: object) -> Any:
        import keras

        return getattr(keras.applications, name)(include_top=False, **fixed, **arguments)

    return build


_RESNET_BLOCKS = ((r"(?:conv1|pool1)_", "stem"), (r"(conv\d+_block\d+)_", r"\1"))
_EFFICIENTNET_BLOCKS = ((r"stem_", "stem"), (r"(block\d+[a-z]+)_", r"\1"), (r"top_", "last"))


def _mobilenet_v3(name: str, unfreeze: int, weighted_layers: int, minimalistic: int, features: int) -> Architecture:
    blocks = (
        (r"conv(_bn)?$", "stem"),
        (r"expanded_conv_(\d+)_", r"expanded_conv_\1"),
        (r"expanded_conv_", "expanded_conv"),
        (r"conv_1(_bn)?$", "last"),
    )
    # MobileNetV3's own Rescaling layer has a name that Keras numbers; ours has the same name in every process.
    build = _keras(name, include_preprocessing=False)
    return Architecture(
        build,
        MINUS_ONE_TO_ONE,
        blocks,
        image_size=224,
        unfreeze=unfreeze,
        weighted_layers=weighted_layers,
        features=features,
        imagenet_alphas=(0.75, 1.0),
        weighted_layers_minimalistic=minimalistic,
    )


def _resnet(name: str, unfreeze: int, weighted_layers: int) -> Architecture:
    return Architecture(_keras(name), CAFFE, _RESNET_BLOCKS, 224, unfreeze, weighted_layers, features=2048)


def _efficientnet(number: int, image_size: int, unfreeze: int, weighted_layers: int, features: int) -> Architecture:
    build = _keras(f"EfficientNetB{number}")
    return Architecture(
        build, STANDARD, _EFFICIENTNET_BLOCKS, image_size, unfreeze, weighted_layers, features, own_normalisation=True
    )


def _efficientnet_v2(number: int, image_size: int, unfreeze: int, weighted_layers: int, features: int) -> Architecture:
    build = _keras(f"EfficientNetV2B{number}", include_preprocessing=False)
    return Architecture(build, STANDARD, _EFFICIENTNET_BLOCKS, image_size, unfreeze, weighted_layers, features)


ARCHITECTURES: dict[str, Architecture] = {
    "mobilenet": Architecture(
        build=_keras("MobileNet"),
        normalisation=MINUS_ONE_TO_ONE,
        blocks=((r"conv1(_|$)", "stem"), (r"conv_(?:pad|dw|pw)_(\d+)(?:_|$)", r"block_\1")),
        image_size=224,
        unfreeze=13,
        weighted_layers=54,
        features=1024,
        imagenet_alphas=(0.25, 0.5, 0.75, 1.0),
    ),
    "mobilenet_v2": Architecture(
        build=_keras("MobileNetV2"),
        normalisation=MINUS_ONE_TO_ONE,
        blocks=(
            (r"(bn_)?Conv1(_relu)?$", "stem"),
            (r"expanded_conv_", "expanded_conv"),
            (r"block_(\d+)_", r"block_\1"),
            (r"(Conv_1(_bn)?|out_relu)$", "last"),
        ),
        image_size=224,
        unfreeze=40,
        weighted_layers=104,
        features=1280,
        imagenet_alphas=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    ),
    "mobilenet_v3_small": _mobilenet_v3("MobileNetV3Small", 33, weighted_layers=86, minimalistic=68, features=576),
    "mobilenet_v3_large": _mobilenet_v3("MobileNetV3Large", 33, weighted_layers=108, minimalistic=92, features=960),
    "resnet50": _resnet("ResNet50", unfreeze=32, weighted_layers=106),
    "resnet101": _resnet("ResNet101", unfreeze=92, weighted_layers=208),
    "efficientnet_b0": _efficientnet(0, image_size=224, unfreeze=46, weighted_layers=130, features=1280),
    "efficientnet_b1": _efficientnet(1, image_size=240, unfreeze=61, weighted_layers=184, features=1280),
    "efficientnet_b2": _efficientnet(2, image_size=260, unfreeze=61, weighted_layers=184, features=1408),
    "efficientnet_b3": _efficientnet(3, image_size=300, unfreeze=76, weighted_layers=208, features=1536),
    "efficientnet_b4": _efficientnet(4, image_size=380, unfreeze=91, weighted_layers=256, features=1792),
    "efficientnet_b5": _efficientnet(5, image_size=456, unfreeze=91, weighted_layers=310, features=2048),
    "efficientnet_b6": _efficientnet(6, image_size=528, unfreeze=106, weighted_layers=358, features=2304),
    "efficientnet_b7": _efficientnet(7, image_size=600, unfreeze=121, weighted_layers=436, features=2560),
    "efficientnet_v2_b0": _efficientnet_v2(0, image_size=224, unfreeze=78, weighted_layers=150, features=1280),
    "efficientnet_v2_b1": _efficientnet_v2(1, image_size=240, unfreeze=93, weighted_layers=184, features=1280),
    "efficientnet_v2_b2": _efficientnet_v2(2, image_size=260, unfreeze=93, weighted_layers=192, features=1408),
    "efficientnet_v2_b3": _efficientnet_v2(3, image_size=300, unfreeze=108, weighted_layers=224, features=1536),
    "inception_v3": Architecture(
        build=_keras("InceptionV3"),
        normalisation=MINUS_ONE_TO_ONE,
        blocks=((r"max_pooling2d_1$", "stem"), (r"(mixed\d+)$", r"\1")),
        image_size=299,
        unfreeze=62,
        weighted_layers=188,
        features=2048,
        min_image_size=75,
        closing=True,
    ),
}
