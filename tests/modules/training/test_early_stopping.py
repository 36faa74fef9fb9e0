"""Which epoch is kept, and when a phase ends, for epochs with given values."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edgetune.modules.settings.run import Recipe
from edgetune.modules.training.early_stopping import BestEpoch, rank


def epoch(accuracy: float, loss: float) -> dict[str, float]:
    return {"val_accuracy": accuracy, "val_loss": loss}


def test_accuracy_ranks_first_and_loss_breaks_ties():
    best_first = [epoch(0.9, 2.0), epoch(0.9, 2.5), epoch(0.8999990, 0.0), epoch(0.8, 0.1), epoch(0.0, 0.0)]
    shuffled = [best_first[index] for index in (3, 1, 4, 0, 2)]
    assert sorted(shuffled, key=rank) == best_first


@pytest.mark.parametrize("images", [70, 1_000_000])
def test_one_more_correct_image_outweighs_any_loss(images):
    assert rank(epoch(1.0 / images, 1e9)) < rank(epoch(0.0, 0.0))


def kept(values: list[dict[str, float]], patience: int, recipe: Recipe = "auto") -> tuple[int, int]:
    """Return the epoch whose weights are kept, and the number trained; the weights are the number of their epoch."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    callback = BestEpoch(patience, recipe)
    callback.set_model(model)
    model.stop_training = False
    callback.on_train_begin()
    trained = 0
    for number, logs in enumerate(values):
        model.set_weights([np.array([[float(number)]])])
        callback.on_epoch_end(number, logs)
        trained += 1
        if model.stop_training:
            break
    callback.on_train_end()
    return int(model.get_weights()[0].item()), trained


def test_the_most_accurate_epoch_is_kept_although_its_loss_has_risen():
    assert kept([epoch(0.8, 0.5), epoch(0.85, 0.6), epoch(0.9, 0.7), epoch(0.85, 0.4)], patience=9) == (2, 4)


def test_of_equally_accurate_epochs_the_one_with_slightly_lower_loss_is_kept():
    """The differences are too small for float32 beside the accuracy, which is float32's nearest to two thirds."""
    epochs = [epoch(0.6666666865348816, loss) for loss in (1.14, 1.12, 1.11, 1.1095, 1.10951)]
    assert kept(epochs, patience=9) == (3, 5)


def test_the_phase_ends_if_neither_improves_for_patience_epochs():
    assert kept([epoch(0.9, 0.5)] + [epoch(0.9, 0.6)] * 9, patience=3) == (0, 4)


def test_a_lower_loss_alone_restarts_the_wait():
    assert kept([epoch(0.9, 0.5 - n / 100) if n < 6 else epoch(0.8, 0.9) for n in range(20)], patience=2) == (5, 8)
    falling = [epoch(0.9, 0.5)] + [epoch(0.8, 0.5 - n / 100) for n in range(1, 6)] + [epoch(0.8, 0.9)] * 9
    assert kept(falling, patience=2) == (0, 8)


def test_a_higher_accuracy_alone_restarts_the_wait():
    assert kept([epoch(0.5 + n / 100, 0.5 + n) if n < 6 else epoch(0.5, 9.0) for n in range(20)], patience=2) == (5, 8)


def test_in_the_tutorial_the_lowest_loss_alone_decides():
    values = [epoch(0.8, 0.5), epoch(0.9, 0.6), epoch(0.9, 0.7), epoch(0.9, 0.8), epoch(0.95, 0.9)]
    assert kept(values, patience=3, recipe="tutorial") == (0, 4)
