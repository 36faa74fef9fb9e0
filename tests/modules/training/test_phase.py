"""A killed phase resumes with the same result as without the interruption."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest

from edgetune.modules.core import progress
from edgetune.modules.core.errors import TrainingError
from edgetune.modules.training.phase import Phase, run_phase
from tests.helpers import fork_server
from tests.programs import killed_training
from tests.tiny import model as tiny_model

KILLED_AT = "fine tune: epoch 12/"
SAVED = 11
"""Epochs of phase 2 that were saved before: the report of an epoch comes before its checkpoint."""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("examples")
    for split, each in (("train", 8), ("eval", 4), ("test", 1)):
        tiny_model.write_transformed(folder, split, tiny_model.examples(each))
    return str(folder)


Trained = tuple[list[Phase], list[np.ndarray]]


@pytest.fixture(scope="module")
def uninterrupted(examples: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return killed_training.train(examples, tmp_path_factory.mktemp("whole"), resume=False)


def assert_same(found: Trained, expected: Trained) -> None:
    for phase, other in zip(found[0], expected[0], strict=True):
        assert phase.epochs == other.epochs
        assert (phase.name, phase.best_epoch) == (other.name, other.best_epoch)
        assert phase.trainable_parameters == other.trainable_parameters
    for array, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(array, other)


def reports(examples: str, folder: Path) -> tuple[Trained, list[str]]:
    """Train with checkpoints, and return the result and the progress reports."""
    reported: list[str] = []
    with progress.listening(reported.append):
        trained = killed_training.train(examples, folder)
    return trained, reported


def test_losing_a_counter_would_change_the_training_used_here(uninterrupted):
    tuned = uninterrupted[0][1]
    rates = [epoch["learning_rate"] for epoch in tuned.epochs]
    assert SAVED < len(tuned.epochs) < killed_training.FINE_TUNE.epochs  # stopped early, after the kill
    assert rates[SAVED - 1] < rates[0] and rates[-1] < rates[SAVED]  # on a plateau, before and after
    assert tuned.best_epoch < SAVED - 1  # so the best weights are not the last ones


@pytest.fixture(scope="module")
def killed(examples: str, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training in a separate process that was killed in the middle of phase 2."""
    folder = tmp_path_factory.mktemp("killed")
    command = fork_server.shared().command("tests.programs.killed_training", examples, str(folder), KILLED_AT)
    ended = subprocess.run(command, cwd=root, env=dict(os.environ), capture_output=True, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]
    return folder


def test_a_killed_and_resumed_training_gives_the_same_history_and_weights(uninterrupted, killed, examples):
    found, reported = reports(examples, killed)
    assert_same(found, uninterrupted)
    assert reported[0] == f"fine tune: epoch {SAVED + 1}/16"  # neither phase 1 nor saved epochs are trained again
    assert len(reported) == 1 + len(found[0][1].epochs) - SAVED
    # The training has finished: the third time there is nothing to train.
    again, reported = reports(examples, killed)
    assert_same(again, uninterrupted)
    assert reported == []
    for phase, other in zip(again[0], found[0], strict=True):
        assert phase.seconds > 0.5 * other.seconds  # its duration is restored although it was not trained again


@pytest.mark.large  # a resumed training, which saves them, is compared above
def test_saving_checkpoints_does_not_change_the_training(uninterrupted, examples, tmp_path):
    assert_same(killed_training.train(examples, tmp_path), uninterrupted)


@pytest.mark.parametrize("first", ["head", "fine_tune"])
def test_a_phase_with_a_damaged_checkpoint_starts_over(uninterrupted, killed, examples, tmp_path, first):
    for path in (killed / "resume").iterdir():
        content = path.read_bytes()
        (tmp_path / "resume").mkdir(exist_ok=True)
        (tmp_path / "resume" / path.name).write_bytes(content[:-9] if path.name == f"{first}.json" else content)
    found, reported = reports(examples, tmp_path)
    assert_same(found, uninterrupted)
    assert reported[0].startswith(f"{first.replace('_', ' ')}: epoch 1/")


# --- the key of a checkpoint


def small(seed: int = 1, units: int = 4) -> keras.Model:
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(units, activation="relu"), keras.layers.Dense(3, activation="softmax")]
    return keras.Sequential([keras.Input((tiny_model.SIZE, tiny_model.SIZE, 3)), keras.layers.Flatten(), *layers])


def epochs_trained(
    examples: str, folder: Path, model: keras.Model, loss: keras.losses.Loss | None = None, **settings: object
) -> int:
    data = killed_training.load_datasets(examples, tiny_model.SIZE, killed_training.SETTINGS)
    phase = killed_training.SETTINGS.head.model_copy(update=settings)
    loss = loss or keras.losses.SparseCategoricalCrossentropy()
    reported: list[str] = []
    with progress.listening(reported.append):
        run_phase("one", model, data.train, data.evaluation, loss, phase, str(folder / "logs"), str(folder / "resume"))
    return max(0, len(reported) - 1)


@pytest.mark.large  # test_checkpoint.py has the same of the key alone
def test_a_checkpoint_of_another_network_loss_or_setting_is_not_used(examples, tmp_path):
    kept = {"epochs": 2, "learning_rate": 1e-5}
    assert epochs_trained(examples, tmp_path, small(), **kept) == 2
    assert epochs_trained(examples, tmp_path, small(), **kept) == 0
    assert epochs_trained(examples, tmp_path, small(seed=2), **kept) == 2
    assert epochs_trained(examples, tmp_path, small(units=5), **kept) == 2
    assert epochs_trained(examples, tmp_path, small(units=5), **{**kept, "learning_rate": 2e-5}) == 2
    smoothed = killed_training.build_loss(killed_training.SETTINGS, [1, 1, 1])
    assert epochs_trained(examples, tmp_path, small(units=5), smoothed, **{**kept, "learning_rate": 2e-5}) == 2


def test_an_epoch_whose_loss_is_not_finite_is_not_saved(examples, tmp_path):
    model = small()
    model.layers[-1].set_weights([np.full((4, 3), np.nan), np.zeros(3)])
    with pytest.raises(TrainingError, match="loss is nan after epoch 1"):
        epochs_trained(examples, tmp_path, model, epochs=2)
    assert not (tmp_path / "resume").exists()
