"""Backbones: building one by name with its weights, and unfreezing its top in whole blocks."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import keras

from modules.architectures import ARCHITECTURES, NORMALISATION, assemble
from modules.errors import ConfigError
from modules.settings import ModelSettings
from modules.weights import load_weights


@dataclass(frozen=True)
class Block:
    """Consecutive layers that only the output of the block before feeds, so that a cut between blocks is safe."""

    name: str
    """Its name, such as `block_13`."""
    layers: tuple[keras.layers.Layer, ...]
    """Its layers, in the order of the data."""


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
    patterns = ARCHITECTURES[backbone.name].blocks
    layers = [layer for layer in backbone.layers if not _is_entry(layer)]
    names: list[str] = []
    for layer in layers:
        found = (m.expand(name) for pattern, name in patterns if (m := re.match(pattern, layer.name)))
        names.append(next(found, names[-1] if names else "stem"))
    grouped = itertools.groupby(zip(names, layers, strict=True), key=lambda pair: pair[0])
    return [Block(name, tuple(layer for _, layer in pairs)) for name, pairs in grouped]


def unfreeze_last(backbone: keras.Model, last: int) -> list[keras.layers.Layer]:
    """Makes the top of the backbone trainable and freezes everything before.

    The cut never falls inside a block: `last` is rounded down to whole blocks. Batch normalisation stays frozen,
    and with that in inference mode, also above the cut: on the small batches and small data of fine-tuning,
    statistics of the batch would undo what pretraining learned.

    Args:
        backbone: What `build_backbone` returned. It is changed.
        last: Layers to unfreeze at most, counted from the output; the input and the normalisation do not count.

    Returns:
        The layers that have trainable weights now, from the cut to the output.

    Raises:
        ConfigError: `last` is larger than the number of layers, or smaller than the last block.
    """
    whole = blocks(backbone)
    total, smallest = sum(len(block.layers) for block in whole), len(whole[-1].layers)
    if not smallest <= last <= total:
        raise ConfigError(
            f"training.fine_tune.unfreeze.last is {last}, but {backbone.name} has {total} layers and its last block "
            f"({whole[-1].name}) has {smallest}",
            f"set it to {smallest} .. {total}, or training.fine_tune.epochs to 0 to leave fine-tuning out",
        )
    chosen: list[keras.layers.Layer] = []
    for block in reversed(whole):
        if len(chosen) + len(block.layers) > last:
            break
        chosen[:0] = block.layers
    backbone.trainable = True  # a model that is frozen itself hides the trainable weights of its layers
    for layer in backbone.layers:
        layer.trainable = False
    for layer in chosen:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    return [layer for layer in chosen if layer.trainable_weights]


def _is_entry(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.InputLayer) or layer.name == NORMALISATION
