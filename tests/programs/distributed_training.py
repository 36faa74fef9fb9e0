"""Train two phases on the tiny network in separate processes: devices must be set up before any use of TensorFlow.

python -m tests.programs.distributed_training devices EXAMPLES FOLDER    on two logical CPUs, and on one
python -m tests.programs.distributed_training worker EXAMPLES FOLDER     as one of the workers of TF_CONFIG
python -m tests.programs.distributed_training second EXAMPLES FOLDER     on the second of two logical CPUs and the first

Each writes its results to FOLDER/<name>.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.core import progress
from edgetune.modules.core.errors import EdgetuneError
from edgetune.modules.settings.run import ModelSettings, TrainingSettings
from edgetune.modules.training import distribution
from edgetune.modules.training.datasets import load_datasets
from edgetune.modules.training.two_phase import Folders, train_two_phases
from tests.tiny import backbone, model

TRAIN, EVAL = 8, 5
"""Images of each class."""
KILLED_AT = "head: epoch 2/"


def settings(**changes: Any) -> TrainingSettings:
    """Return settings with a batch size that neither divides by two devices nor divides the split."""
    values: dict[str, Any] = {
        "batch_size": 7,
        "seed": 5,
        "head": {"epochs": 3, "learning_rate": 0.03},
        "fine_tune": {"epochs": 6, "learning_rate": 0.01, "unfreeze": {"last": backbone.LAST_BLOCK}},
        "augmentation": {"translation": 0.1},
        **changes,
    }
    return TrainingSettings(**values)


def network(dropout: float) -> ModelSettings:
    """Return settings with a penalty on the weights, which must not be counted once for each device."""
    return ModelSettings(weights="none", image_size=32, head={"units": (8,), "dropout": (dropout,), "l2": 0.01})


def train(
    examples: str,
    folder: Path,
    training: TrainingSettings,
    strategy: tf.distribute.Strategy | None,
    *,
    dropout: float = 0.0,
    cached: bool = True,
    resume: bool = False,
) -> dict[str, Any]:
    """Return the epochs of the phases, the choice, and all weights in one list."""
    data = load_datasets(examples, model.SIZE, training)
    cache = folder.parent / "cache" if cached else None
    folders = Folders(str(folder / "logs"), cache, folder / "resume" if resume else None)
    loss = keras.losses.SparseCategoricalCrossentropy()
    classes = len(model.LABELS)
    result = train_two_phases(examples, data, classes, network(dropout), training, loss, folders, strategy)
    weights = [value.ravel() for value in result.classifier.model.get_weights()]
    return {
        "phases": [phase.as_json() for phase in result.phases],
        "exported": result.exported,
        "weights": np.concatenate(weights).tolist(),
        "places": sorted({variable.value.device for variable in result.classifier.model.variables}),
        "logs": sorted(str(path.relative_to(folder)) for path in folder.rglob("events.*")),
    }


def devices(examples: str, folder: Path) -> None:
    """Run everything that needs two devices."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two = distribution.start("mirrored")
    found: dict[str, Any] = {"replicas": two.num_replicas_in_sync, "chief": distribution.is_chief(two)}
    for cached in (False, True):
        for name, strategy in (("one", None), ("two", two)):
            key = f"{name} {'cached' if cached else 'whole'}"
            found[key] = train(examples, folder / key, settings(), strategy, cached=cached)
    found["killed"] = interrupted(examples, folder / "killed", two)
    for kind in ("tpu", "multi_worker"):
        os.environ["TF_CONFIG"] = json.dumps(
            {"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 0}}
        )
        try:
            distribution.start(kind)
        except EdgetuneError as error:
            found[kind] = [type(error).__name__, error.cause, error.remedy]
    (folder / "devices.json").write_text(json.dumps(found))


def interrupted(examples: str, folder: Path, strategy: tf.distribute.Strategy) -> dict[str, Any]:
    """Train phase 1 with dropout and bfloat16, once interrupted and resumed, and once without interruption."""

    head = settings(fine_tune={"epochs": 0}, mixed_precision=True)

    def listener(message: str) -> None:
        if message.startswith(KILLED_AT):
            raise KeyboardInterrupt

    try:
        with progress.listening(listener):
            train(examples, folder, head, strategy, dropout=0.3, resume=True)
    except KeyboardInterrupt:
        resumed = train(examples, folder, head, strategy, dropout=0.3, resume=True)
    whole = train(examples, folder.with_name("whole"), head, strategy, dropout=0.3)
    return {"resumed": resumed, "whole": whole}


def second(examples: str, folder: Path) -> None:
    """Train both phases with cache and bfloat16 on a device other than that of the data, as with a GPU."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    found: dict[str, Any] = {}
    for name, mixed in (("float32", False), ("bfloat16", True)):
        for place in (0, 1):
            key = f"{name} {place}"
            with tf.device(f"CPU:{place}"):
                found[key] = train(examples, folder / key / "run", settings(mixed_precision=mixed), None)
    (folder / "second.json").write_text(json.dumps(found))


def worker(examples: str, folder: Path) -> None:
    """Train as one of several workers; the folder is its own."""
    strategy = distribution.start("multi_worker")
    found = train(examples, folder, settings(), strategy)
    found |= {"replicas": strategy.num_replicas_in_sync, "chief": distribution.is_chief(strategy)}
    (folder / "worker.json").write_text(json.dumps(found))
    distribution.wait_for_all(strategy)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        backbone.use(patch)
        {"devices": devices, "second": second, "worker": worker}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
