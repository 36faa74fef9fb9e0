"""Which epoch is kept, and when a phase ends: on epochs whose values are given, so that nothing is left to chance."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edgetune.modules.training.early_stopping import BestEpoch, rank


def epoch(accuracy: float, loss: float) -> dict[str, float]:
    return {"val_accuracy": accuracy, "val_loss": loss}


def test_accuracy_decides_and_loss_only_between_equals():
    best_first = [epoch(0.9, 2.0), epoch(0.9, 2.5), epoch(0.8999990, 0.0), epoch(0.8, 0.1), epoch(0.0, 0.0)]
    shuffled = [best_first[place] for place in (3, 1, 4, 0, 2)]
    assert sorted(shuffled, key=rank) == best_first


@pytest.mark.parametrize("images", [70, 1_000_000])
def test_one_image_more_outweighs_any_loss(images):
    assert rank(epoch(1.0 / images, 1e9)) < rank(epoch(0.0, 0.0))


def kept(values: list[dict[str, float]], patience: int) -> tuple[int, int]:
    """The epoch whose weights are kept, and how many were trained: the weights are the number of their epoch."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    callback = BestEpoch(patience)
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


def test_the_most_accurate_epoch_is_kept_though_its_loss_has_risen():
    assert kept([epoch(0.8, 0.5), epoch(0.85, 0.6), epoch(0.9, 0.7), epoch(0.85, 0.4)], patience=9) == (2, 4)


def test_of_equally_accurate_epochs_that_of_a_little_less_loss_is_kept():
    """Differences that float32 does not show beside the accuracy: an epoch of float32's nearest to two thirds."""
    epochs = [epoch(0.6666666865348816, loss) for loss in (1.14, 1.12, 1.11, 1.1095, 1.10951)]
    assert kept(epochs, patience=9) == (3, 5)


def test_neither_better_for_as_long_as_patience_ends_the_phase():
    assert kept([epoch(0.9, 0.5)] + [epoch(0.9, 0.6)] * 9, patience=3) == (0, 4)


def test_a_lower_loss_alone_is_reason_to_go_on():
    assert kept([epoch(0.9, 0.5 - n / 100) if n < 6 else epoch(0.8, 0.9) for n in range(20)], patience=2) == (5, 8)
    falling = [epoch(0.9, 0.5)] + [epoch(0.8, 0.5 - n / 100) for n in range(1, 6)] + [epoch(0.8, 0.9)] * 9
    assert kept(falling, patience=2) == (0, 8)


def test_a_higher_accuracy_alone_is_reason_to_go_on():
    assert kept([epoch(0.5 + n / 100, 0.5 + n) if n < 6 else epoch(0.5, 9.0) for n in range(20)], patience=2) == (5, 8)
