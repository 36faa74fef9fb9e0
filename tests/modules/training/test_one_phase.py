"""One phase of training: its best weights, early stopping, and errors."""

from __future__ import annotations

import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.core import progress
from edgetune.modules.core.errors import TrainingError
from edgetune.modules.settings.run import FineTuneSettings, PhaseSettings
from edgetune.modules.training import phase as phases
from edgetune.modules.training.epochs import Epochs


def net() -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])


def batches(*batches: tuple[list[list[float]], list[int]]) -> tf.data.Dataset:
    parts = [
        tf.data.Dataset.from_tensors((np.array(inputs, np.float32), np.array(labels, np.int64)))
        for inputs, labels in batches
    ]
    dataset = parts[0]
    for part in parts[1:]:
        dataset = dataset.concatenate(part)
    return dataset


GOOD = ([[1.0, 0.0], [0.0, 1.0]], [0, 1])
SWAPPED = ([[1.0, 0.0], [0.0, 1.0]], [1, 0])
NOT_A_NUMBER = ([[float("nan"), 0.0]], [0])


def epochs_of(*parts: tuple[list[list[float]], list[int]]) -> Epochs:
    return Epochs(lambda epoch: batches(*parts), lambda: len(parts))


def phase_of(model: keras.Model, train: Epochs, evaluation: tf.data.Dataset, logs: Path, **settings: object):
    loss = keras.losses.SparseCategoricalCrossentropy()
    return phases.run_phase("a_phase", model, train, evaluation, loss, PhaseSettings(**settings), str(logs))


@pytest.mark.parametrize(
    ("train", "evaluation", "key"), [(NOT_A_NUMBER, GOOD, "loss"), (GOOD, NOT_A_NUMBER, "val_loss")]
)
def test_a_loss_that_is_not_finite_is_an_error_after_the_first_epoch(tmp_path, train, evaluation, key):
    with pytest.raises(TrainingError, match=f"^a phase: {key} is nan after epoch 1") as caught:
        phase_of(net(), epochs_of(train), batches(evaluation), tmp_path, epochs=5)
    assert "learning_rate" in caught.value.remedy


def test_a_phase_keeps_the_weights_of_its_best_epoch_and_stops_early(tmp_path):
    """Labels are swapped on eval, so what the model learns makes it worse there, and the first epoch is the best."""
    model = net()
    evaluation = batches(SWAPPED)
    reported: list[str] = []
    settings = {"epochs": 20, "patience": 2, "plateau_patience": 1, "learning_rate": 0.5}
    with progress.listening(reported.append):
        phase = phase_of(model, epochs_of(GOOD), evaluation, tmp_path, **settings)
    assert phase.best_epoch == 0 and len(phase.epochs) == 3
    assert model.evaluate(evaluation, verbose=0)[0] == pytest.approx(phase.best["val_loss"], rel=1e-5)
    assert [epoch["val_loss"] for epoch in phase.epochs] == sorted(epoch["val_loss"] for epoch in phase.epochs)
    assert set(phase.best) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    assert phase.epochs[0]["learning_rate"] == 0.5 and phase.epochs[2]["learning_rate"] < 0.5  # on the plateau
    assert phase.trainable_parameters == 6
    assert reported[0] == "a phase: epoch 1/20" and reported[-1].startswith("a phase: epoch 3/20, accuracy ")
    assert any(path.name.startswith("events") for path in tmp_path.rglob("*"))


def test_each_epoch_trains_on_its_own_batches_once(tmp_path):
    """This must not depend on Keras's `fit`, which in 3.15 iterates data of known length twice per epoch."""
    seen: list[int] = []

    def number(epoch: np.ndarray) -> np.ndarray:
        seen.append(int(epoch))
        return np.array(GOOD[0], np.float32) * np.float32(0.5**epoch)

    def of(epoch: tf.Tensor) -> tf.data.Dataset:
        inputs = tf.ensure_shape(tf.numpy_function(number, [epoch], tf.float32), [2, 2])
        return tf.data.Dataset.from_tensors((inputs, tf.constant(GOOD[1], tf.int64)))

    epochs, model = Epochs(of, lambda: 1), net()
    # At this learning rate nothing is learned, so each epoch's loss is that of its own images.
    phase = phase_of(model, epochs, batches(GOOD), tmp_path, epochs=4, learning_rate=1e-9, patience=9)
    assert seen[:4] == [0, 1, 2, 3]  # later ones are only prefetched
    losses = [model.evaluate(epochs.one(epoch), verbose=0)[0] for epoch in range(4)]
    assert len(set(losses)) == 4
    assert [epoch["loss"] for epoch in phase.epochs] == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize(
    ("plateau", "expected"),
    [
        ({}, [1e-9] * 3 + [5e-10] * 2),
        ({"plateau_patience": 1, "plateau_factor": 0.1}, [1e-9] * 2 + [1e-10, 1e-11, 1e-12]),
    ],
)
def test_on_a_plateau_the_learning_rate_is_lowered(tmp_path, plateau, expected):
    """At this rate nothing is learned, so the first epoch stays the best one."""
    settings = {"epochs": 20, "learning_rate": 1e-9, "patience": 4, **plateau}
    phase = phase_of(net(), epochs_of(GOOD), batches(GOOD), tmp_path, **settings)
    assert [epoch["learning_rate"] for epoch in phase.epochs] == pytest.approx(expected, rel=1e-5)


def fine_tune(folder: Path, recipe: str = "auto"):
    loss, settings = keras.losses.SparseCategoricalCrossentropy(), FineTuneSettings(learning_rate=0.2, patience=20)
    data = epochs_of(GOOD, GOOD), batches(GOOD)
    return phases.run_phase("tune", net(), *data, loss, settings, str(folder), str(folder / "resume"), recipe)


def test_the_rate_of_fine_tuning_rises_in_a_tenth_of_the_steps_and_falls_along_a_cosine(tmp_path):
    rates = [epoch["learning_rate"] for epoch in fine_tune(tmp_path).epochs]
    expected = [0.1 * (1 + math.cos(math.pi * epoch / 9)) for epoch in range(10)]  # after each epoch
    assert rates == pytest.approx(expected, abs=1e-6)
    constant = fine_tune(tmp_path / "tutorial", "tutorial").epochs
    assert [epoch["learning_rate"] for epoch in constant] == pytest.approx([0.2] * 10, rel=1e-6)


def test_a_killed_fine_tuning_goes_on_where_the_rate_was(tmp_path):
    whole = fine_tune(tmp_path / "whole")

    class Killed(BaseException):
        pass

    def kill(said: str) -> None:
        if said.startswith("tune: epoch 5/"):
            raise Killed

    with progress.listening(kill), pytest.raises(Killed):
        fine_tune(tmp_path)
    resumed = fine_tune(tmp_path)
    assert resumed.epochs == whole.epochs and len(whole.epochs) == 10


def test_the_penalty_of_the_weights_is_part_of_the_loss(tmp_path):
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2, activation="softmax", kernel_regularizer=keras.regularizers.L2(0.5))]
    )
    plain = net()
    plain.set_weights(model.get_weights())
    losses = [
        phase_of(network, epochs_of(GOOD), batches(GOOD), tmp_path, epochs=1, learning_rate=1e-9).best["loss"]
        for network in (model, plain)
    ]
    penalty = 0.5 * float(np.sum(np.square(model.get_weights()[0])))
    assert penalty > 0.1 and losses[0] - losses[1] == pytest.approx(penalty, rel=1e-4)
