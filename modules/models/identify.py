"""Find out which network a file of weights is of."""

from __future__ import annotations

import keras

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import WeightsError
from edgetune.modules.models.blocks import build_backbone
from edgetune.modules.models.weight_formats import UnreadableWeights, file_format, stored_layers
from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.run import ModelSettings
from edgetune.modules.storage.safe_read import UnreadableFile, read_file


def identify(path: str) -> ModelSettings:
    """Return the network that a file of weights is of, with this file as its weights and the default image size.

    The number of layers with weights leaves few networks; the file is of the one that it can be loaded into.

    Args:
        path: A file of one of `weight_formats.FORMATS`.

    Raises:
        WeightsError: The file cannot be read, or is of none of the networks with ImageNet's width multipliers.
    """
    remedy = "name it as model.weights in a configuration, with the settings of its network"
    try:
        content = read_file(path, None, bounds.MAX_WEIGHTS, "a file of weights")
        with stored_layers(content, file_format(path) or "", keras.Sequential()) as stored:
            layers = len(stored)
    except (UnreadableFile, UnreadableWeights) as error:
        raise WeightsError(f"{path} cannot be read as weights: {error}", remedy) from error
    for model in _with_layers(layers, path):
        try:
            build_backbone(model)
        except WeightsError:
            continue
        return model
    raise WeightsError(f"{path}, with {layers} layers of weights, is of no network that edgetune knows", remedy)


def _with_layers(layers: int, path: str) -> list[ModelSettings]:
    """Return the networks that can have as many layers with weights."""
    found = []
    for name, architecture in ARCHITECTURES.items():
        counts = [(architecture.weighted_layers + architecture.own_normalisation, False)]
        counts += [(architecture.weighted_layers, False)] if architecture.own_normalisation else []
        counts += [(architecture.weighted_layers_minimalistic or 0, True)]
        for count, minimalistic in counts:
            for alpha in architecture.imagenet_alphas or (1.0,):
                if count == layers:
                    given = {"backbone": name, "alpha": alpha, "minimalistic": minimalistic, "weights": path}
                    found.append(ModelSettings.model_validate(given))
    return found
