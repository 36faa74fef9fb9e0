"""Build a backbone by name with its weights, unfreeze its top in whole blocks, and cut it between blocks."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass

import keras
from absl import logging

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.models.backbone import NORMALISATION, assemble
from edgetune.modules.models.weight_formats import stable_names
from edgetune.modules.models.weights import load_weights
from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.run import ModelSettings, Unfreeze


@dataclass(frozen=True)
class Block:
    """Consecutive layers whose only input is the previous block's output, so that cutting between blocks is safe."""

    name: str
    """Name, such as `block_13`."""
    layers: tuple[keras.layers.Layer, ...]
    """Layers, from input to output."""


@dataclass(frozen=True)
class Unfrozen:
    """Result of unfreezing."""

    first_block: str
    """Name of the first unfrozen block, as an argument for `cut_backbone`."""
    layers: tuple[keras.layers.Layer, ...]
    """The layers that now have trainable weights, from the cut to the output."""
    parameters: int
    """Number of trainable parameters in these layers."""


def build_backbone(settings: ModelSettings, *, pretrained: bool = True) -> keras.Model:
    """Build the feature extractor that `settings` describe.

    Args:
        settings: Architecture, width, image size, weights and their pinned digest.
        pretrained: False for random weights, whatever `settings.weights` is.

    Returns:
        Flat model named after the architecture. Input: float32 `[N, S, S, 3]`, RGB in 0..255, `S = image_size`; the
        architecture's normalisation is a layer inside. Output: float32 `[N, h, w, c]`, the last feature map. All
        weights are trainable; with `training=False`, batch normalisation uses its moving statistics.

    Raises:
        ConfigError: The architecture does not support `model.alpha` or `model.image_size`.
        WeightsError: The weights are unavailable or do not match the architecture.
    """
    backbone = assemble(settings)
    if pretrained:
        load_weights(backbone, settings)
    return backbone


def blocks(backbone: keras.Model) -> list[Block]:
    """Return the backbone's blocks from input to output, without its input layer and its normalisation.

    Args:
        backbone: A model from `build_backbone`.
    """
    architecture = ARCHITECTURES[backbone.name]
    stable = stable_names(backbone)
    layers = [layer for layer in backbone.layers if not _is_entry(layer)]
    # If the last layer of a block identifies it, read the layers backwards: in both cases, a layer that matches no
    # expression then joins the block of the layer that was read before it.
    order = layers[::-1] if architecture.closing else layers
    names: list[str] = []
    for layer in order:
        found = (m.expand(name) for p, name in architecture.blocks if (m := re.match(p, stable[id(layer)])))
        names.append(next(found, names[-1] if names else "stem"))
    if architecture.closing:
        names.reverse()
    grouped = itertools.groupby(zip(names, layers, strict=True), key=lambda pair: pair[0])
    return [Block(name, tuple(layer for _, layer in pairs)) for name, pairs in grouped]


def unfreeze(backbone: keras.Model, settings: Unfreeze) -> Unfrozen:
    """Make the top of the backbone trainable in whole blocks, freeze everything before it, and log what was done.

    Batch normalisation stays frozen, and so in inference mode, also above the cut: with the small batches and datasets
    of fine-tuning, batch statistics would undo what pretraining learned.

    Args:
        backbone: A model from `build_backbone`, modified in place.
        settings: Position of the cut. The input layer and the normalisation do not count as layers.

    Raises:
        ConfigError: The backbone has fewer layers, its last block has more, or there is no block of that name.
    """
    whole = blocks(backbone)
    unfrozen = _unfrozen_blocks(whole, settings, backbone.name)
    chosen = [layer for block in unfrozen for layer in block.layers]
    backbone.trainable = True  # a frozen model hides the trainable weights of its layers
    for layer in backbone.layers:
        layer.trainable = False
    for layer in chosen:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    layers = tuple(layer for layer in chosen if layer.trainable_weights)
    parameters = sum(math.prod(weight.shape) for layer in layers for weight in layer.trainable_weights)
    of_layers = f"{len(layers)} of {sum(len(block.layers) for block in whole)} layers"
    of_parameters = f"{parameters} of {backbone.count_params()} parameters"
    names = ", ".join(layer.name for layer in layers)
    logging.info(
        "%s: trainable from %s on, %s with %s: %s", backbone.name, unfrozen[0].name, of_layers, of_parameters, names
    )
    return Unfrozen(unfrozen[0].name, layers, parameters)


def _unfrozen_blocks(whole: list[Block], settings: Unfreeze, name: str) -> list[Block]:
    """Return the blocks from the cut to the output."""
    names = [block.name for block in whole]
    key = "training.fine_tune.unfreeze"
    alternative = "or training.fine_tune.epochs to 0 to skip fine-tuning"
    if settings.from_block is not None:
        if settings.from_block not in names:
            raise ConfigError(
                f"{key}.from_block is {settings.from_block!r}, but {name} has no such block",
                f"set it to one of {', '.join(names)}, {alternative}",
            )
        return whole[names.index(settings.from_block) :]
    sizes = [len(block.layers) for block in whole]
    total, smallest = sum(sizes), sizes[-1]
    has = f"but {name} has {total} layers and its last block ({names[-1]}) has {smallest}"
    if settings.fraction is not None:
        last = int(settings.fraction * total + 1e-9)  # so that 0.3 of 10 is 3 despite binary rounding
        if last < smallest:
            lowest = math.ceil(smallest / total * 1000) / 1000
            raise ConfigError(
                f"{key}.fraction is {settings.fraction}, {has}", f"set it to {lowest} .. 1.0, {alternative}"
            )
    else:
        last = settings.last if settings.last is not None else ARCHITECTURES[name].unfreeze
        if not smallest <= last <= total:
            raise ConfigError(f"{key}.last is {last}, {has}", f"set it to {smallest} .. {total}, {alternative}")
    first = len(whole)
    while first and sum(sizes[first - 1 :]) <= last:
        first -= 1
    return whole[first:]


def cut_backbone(backbone: keras.Model, first_trainable_block: str) -> tuple[keras.Model, keras.Model]:
    """Split the backbone into a frozen part and a trainable tail, which share its layers and weights.

    `tail(frozen(images))` equals `backbone(images)`, bit for bit if the same operations run on the same device.

    Args:
        backbone: A model from `build_backbone`. It is not modified.
        first_trainable_block: Name of the tail's first block, as in `blocks(backbone)`; with the very first block, the
            frozen part is only the normalisation.

    Returns:
        The frozen part, from images float32 `[N, S, S, 3]` in 0..255 to the activations at the cut `[N, h, w, c]`, and
        the tail, from these activations to the backbone's output.

    Raises:
        KeyError: There is no block of that name.
    """
    whole = blocks(backbone)
    positions = {block.name: position for position, block in enumerate(whole)}
    position = positions[first_trainable_block]
    before = whole[position - 1].layers[-1] if position else backbone.get_layer(NORMALISATION)
    cut = before.output
    return (
        keras.Model(backbone.input, cut, name=f"{backbone.name}_frozen"),
        keras.Model(cut, backbone.output, name=f"{backbone.name}_tail"),
    )


def _is_entry(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.InputLayer) or layer.name == NORMALISATION
