"""What can be known of a training before it begins, so that no hours are spent on a setting that cannot work."""

from __future__ import annotations

from modules.assembly import assemble
from modules.backbones import unfreeze
from modules.settings import ModelSettings, TrainingSettings
from modules.weights import load_weights


def check_network(model: ModelSettings, training: TrainingSettings) -> None:
    """Builds the backbone, loads its weights and unfreezes its top.

    Raises:
        ConfigError: The architecture refuses the settings, or has no such part to unfreeze.
        WeightsError: The weights cannot be had, or do not fit.
    """
    backbone = assemble(model)
    load_weights(backbone, model)
    if training.fine_tune.epochs:
        unfreeze(backbone, training.fine_tune.unfreeze)
