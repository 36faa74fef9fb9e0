"""Train two phases on a tiny network, and be killed by a test on the way.

python -m tests.programs.killed_training EXAMPLES FOLDER REPORT
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np

from edgetune.modules.core import progress
from edgetune.modules.settings.run import PhaseSettings, TrainingSettings
from edgetune.modules.training.datasets import load_datasets
from edgetune.modules.training.losses import build_loss
from edgetune.modules.training.phase import Phase, run_phase
from tests.tiny import model as tiny_model

SETTINGS = TrainingSettings(
    batch_size=8,
    seed=5,
    augmentation={"crop": 1.0, "translation": 0.2, "contrast": 0.3},
    label_smoothing=0.1,
)
HEAD = PhaseSettings(epochs=3, learning_rate=0.03)
FINE_TUNE = PhaseSettings(epochs=16, learning_rate=0.15, patience=4)
"""Not `FineTuneSettings`: their rate follows a plan, and so has no counters that could be lost."""


def network() -> tuple[keras.Model, keras.Model]:
    """Return a model with everything stateful, dropout and batch normalization, and its backbone."""
    keras.utils.set_random_seed(SETTINGS.seed)
    image = keras.Input((tiny_model.SIZE, tiny_model.SIZE, 3))
    x = keras.layers.Conv2D(6, 3, strides=4)(keras.layers.Rescaling(1 / 127.5, -1.0)(image))
    backbone = keras.Model(image, keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x)))
    x = keras.layers.GlobalAveragePooling2D()(backbone(image))
    x = keras.layers.Dropout(0.3)(keras.layers.Dense(8, activation="relu")(x))
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(x)), backbone


def train(examples: str, folder: Path, resume: bool = True) -> tuple[list[Phase], list[np.ndarray]]:
    """Train both phases with checkpoints in `folder`; return them and the final weights."""
    data = load_datasets(examples, tiny_model.SIZE, SETTINGS)
    model, backbone = network()
    loss = build_loss(SETTINGS, [1, 1, 1])
    backbone.trainable = False
    resume_dir = str(folder / "resume") if resume else None
    phases = []
    for name, settings in (("head", HEAD), ("fine_tune", FINE_TUNE)):
        logs = str(folder / "logs" / name)
        phases.append(run_phase(name, model, data.train, data.evaluation, loss, settings, logs, resume_dir=resume_dir))
        backbone.trainable = True
    return phases, model.get_weights()


def main(examples: str, folder: str, last_words: str) -> None:
    """Train until a report begins with `last_words`, then die of SIGKILL."""

    def listener(message: str) -> None:
        if message.startswith(last_words):
            os.kill(os.getpid(), signal.SIGKILL)

    with progress.listening(listener):
        train(examples, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
