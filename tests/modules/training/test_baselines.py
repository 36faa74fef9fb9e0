"""The baselines that a model is compared with, and the check that it has learned something."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.core.errors import TrainingError
from edgetune.modules.models.blocks import build_backbone
from edgetune.modules.models.weights import save_safetensors
from edgetune.modules.settings.run import PhaseSettings, TrainingSettings
from edgetune.modules.training import baselines
from edgetune.modules.training import phase as phases
from edgetune.modules.training.datasets import load_datasets
from tests.helpers.model_state import variables
from tests.tiny import backbone
from tests.tiny import model as tiny_model


def test_from_scratch_trains_all_weights_including_batch_normalisation(tmp_path, monkeypatch):
    settings = TrainingSettings(
        batch_size=8, seed=3, head={"epochs": 1, "learning_rate": 0.01}, fine_tune={"epochs": 2}
    )
    backbone.use(monkeypatch)
    for split in ("train", "eval", "test"):
        tiny_model.write_transformed(tmp_path / "examples", split, tiny_model.examples(4))
    seen: list[PhaseSettings] = []
    began: list[dict[str, np.ndarray]] = []
    limits: list[float] = []

    def spy(name, model, train, evaluation, loss, phase, log_dir, seconds):
        seen.append(phase)
        began.append(variables(model))
        limits.append(seconds)
        return phases.run_phase(name, model, train, evaluation, loss, phase, log_dir, seconds=seconds)

    monkeypatch.setattr(baselines, "run_phase", spy)
    data = load_datasets(str(tmp_path / "examples"), tiny_model.SIZE, settings)
    loss = keras.losses.SparseCategoricalCrossentropy()
    pretrained = build_backbone(backbone.settings())
    pretrained.set_weights([np.full(weight.shape, 0.125, np.float32) for weight in pretrained.get_weights()])
    save_safetensors(pretrained, tmp_path / "pretrained.safetensors")
    model = backbone.settings().model_copy(update={"weights": str(tmp_path / "pretrained.safetensors")})
    classifier, phase = baselines.train_from_scratch(
        data, len(tiny_model.LABELS), model, settings, loss, str(tmp_path), 0.0
    )
    assert limits[0] < 0  # building the network is counted
    assert len(phase.epochs) == 1  # an epoch that has begun is finished
    assert not [path for path, value in began[0].items() if np.all(value == 0.125)]  # random, not the file's
    assert (seen[0].epochs, seen[0].learning_rate) == (3, 0.01)  # as many epochs as both phases together
    found = variables(classifier.model)
    assert {path for path, value in found.items() if np.array_equal(value, began[0][path])} == set()
    assert any(path.endswith("moving_variance") for path in found)
    assert phase.trainable_parameters == sum(
        value.size for path, value in found.items() if "moving_" not in path and "seed" not in path
    )


def test_a_model_no_better_than_the_most_common_class_has_not_learned():
    pixels = np.stack([image for image, _ in tiny_model.examples(2)]).astype(np.float32)
    labels = np.array([tiny_model.LABELS.index(label) for _, label in tiny_model.examples(2)])
    model = tiny_model.colour_net()

    def evaluation(labels: np.ndarray) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((pixels, labels.astype(np.int64))).batch(4)

    def check(labels: np.ndarray) -> None:
        baselines.check_learned(model.predict(pixels, verbose=0), labels)

    assert baselines.accuracy(model, evaluation(labels)) == 1.0
    check(labels)
    mostly = np.where(labels == labels[0], (labels[0] + 1) % 3, labels[0])  # four of one class, two of another
    with pytest.raises(TrainingError, match=r"accuracy on eval is 0.000, .* most common class \(0.667\)"):
        check(mostly)
    model.layers[-1].set_weights([np.zeros((3, 3)), np.array([5.0, 0.0, 0.0])])  # always the same class
    with pytest.raises(TrainingError, match=r"0.333, no better than always naming the most common class \(0.333\)"):
        check(labels)
