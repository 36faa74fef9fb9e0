"""Backbones: building one by name with its weights, and unfreezing its top in whole blocks."""

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
    """Consecutive layers that only the output of the block before feeds, so that a cut between blocks is safe."""

    name: str
    """Its name, such as `block_13`."""
    layers: tuple[keras.layers.Layer, ...]
    """Its layers, in the order of the data."""


@dataclass(frozen=True)
class Unfrozen:
    """What unfreezing did."""

    first_block: str
    """Name of the first block above the cut, as `cut_backbone` takes it."""
    layers: tuple[keras.layers.Layer, ...]
    """The layers that have trainable weights now, from the cut to the output."""
    parameters: int
    """Numbers in those weights."""


def build_backbone(settings: ModelSettings, *, pretrained: bool = True) -> keras.Model:
    """The feature extractor that `settings` asks for.

    Args:
        settings: Architecture, width, image size, weights and their pin.
        pretrained: False for random weights, whatever `settings.weights` says.

    Returns:
        Flat model named after the architecture. Input float32 `[N, S, S, 3]`, RGB in 0..255, `S = image_size`: the
        architecture's normalisation is a layer inside. Output float32 `[N, h, w, c]`, the last feature map. All
        weights are trainable; called with `training=False`, batch normalisation uses its moving statistics.

    Raises:
        ConfigError: The architecture refuses `model.alpha` or `model.image_size`.
        WeightsError: The weights cannot be had, or do not fit.
    """
    backbone = assemble(settings)
    if pretrained:
        load_weights(backbone, settings)
    return backbone


def blocks(backbone: keras.Model) -> list[Block]:
    """The backbone's whole blocks from input to output; without its input layer and its normalisation.

    Args:
        backbone: What `build_backbone` returned.
    """
    architecture = ARCHITECTURES[backbone.name]
    stable = stable_names(backbone)
    layers = [layer for layer in backbone.layers if not _is_entry(layer)]
    # Read backwards where the last layer of a block names it, so that in both cases a nameless layer goes with the
    # one that was read before it.
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
    """Makes the top of the backbone trainable, in whole blocks, and freezes everything before; and logs it.

    Batch normalisation stays frozen, and with that in inference mode, also above the cut: on the small batches and
    small data of fine-tuning, statistics of the batch would undo what pretraining learned.

    Args:
        backbone: What `build_backbone` returned. It is changed.
        settings: Where the cut is. Layers are counted without the input and the normalisation.

    Raises:
        ConfigError: There are fewer layers, the last block alone has more, or there is no such block.
    """
    whole = blocks(backbone)
    opened = _tail(whole, settings, backbone.name)
    chosen = [layer for block in opened for layer in block.layers]
    backbone.trainable = True  # a model that is frozen itself hides the trainable weights of its layers
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
        "%s: trainable from %s on, %s with %s: %s", backbone.name, opened[0].name, of_layers, of_parameters, names
    )
    return Unfrozen(opened[0].name, layers, parameters)


def _tail(whole: list[Block], settings: Unfreeze, name: str) -> list[Block]:
    """The blocks from the cut to the output."""
    names = [block.name for block in whole]
    key = "training.fine_tune.unfreeze"
    ways_out = "or training.fine_tune.epochs to 0 to leave fine-tuning out"
    if settings.from_block is not None:
        if settings.from_block not in names:
            raise ConfigError(
                f"{key}.from_block is {settings.from_block!r}, and {name} has no such block",
                f"set it to one of {', '.join(names)}, {ways_out}",
            )
        return whole[names.index(settings.from_block) :]
    sizes = [len(block.layers) for block in whole]
    total, smallest = sum(sizes), sizes[-1]
    has = f"but {name} has {total} layers and its last block ({names[-1]}) has {smallest}"
    if settings.fraction is not None:
        last = int(settings.fraction * total + 1e-9)  # 0.3 of 10 is 3, also in binary
        if last < smallest:
            lowest = math.ceil(smallest / total * 1000) / 1000
            raise ConfigError(f"{key}.fraction is {settings.fraction}, {has}", f"set it to {lowest} .. 1.0, {ways_out}")
    else:
        last = settings.last if settings.last is not None else ARCHITECTURES[name].unfreeze
        if not smallest <= last <= total:
            raise ConfigError(f"{key}.last is {last}, {has}", f"set it to {smallest} .. {total}, {ways_out}")
    first = len(whole)
    while first and sum(sizes[first - 1 :]) <= last:
        first -= 1
    return whole[first:]


def cut_backbone(backbone: keras.Model, first_trainable_block: str) -> tuple[keras.Model, keras.Model]:
    """The backbone in two parts that share its layers and weights: what is frozen, and the tail that is trained.

    `tail(frozen(images))` is `backbone(images)`, to the last bit where the same operations run on the same device.

    Args:
        backbone: What `build_backbone` returned. It is not changed.
        first_trainable_block: Name of the tail's first block, as in `blocks(backbone)`; the first of all makes the
            frozen part the normalisation alone.

    Returns:
        The frozen part, from images float32 `[N, S, S, 3]` in 0..255 to the activations at the cut `[N, h, w, c]`, and
        the tail, from those to the features, the backbone's own output.

    Raises:
        KeyError: There is no such block.
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
