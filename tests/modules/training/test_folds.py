"""Folds: who answers whom, and what the answers are worth if there is nothing to learn."""

from __future__ import annotations

import numpy as np
import pytest

from edgetune.modules.core.errors import DataError
from edgetune.modules.data.folds import divide
from edgetune.modules.settings.run import HeadSettings, TrainingSettings
from edgetune.modules.training import folds
from edgetune.modules.training.folds import train_folds
from edgetune.modules.training.phase import Phase
from edgetune.modules.training.raw_features import RawFeatures

LINEAR = HeadSettings(units=(), dropout=())
TRAINING = TrainingSettings(recipe="tutorial", batch_size=16, head={"epochs": 3, "learning_rate": 0.05})
WIDTH = 12


def features(label: np.ndarray, group: np.ndarray, pooled: np.ndarray | None = None) -> RawFeatures:
    pooled = np.zeros((len(label), WIDTH), np.float32) if pooled is None else pooled.astype(np.float32)
    ids = np.char.zfill(np.arange(len(label)).astype("S64"), 64)
    return RawFeatures(pooled, (pooled,), label, ids, np.char.zfill(group.astype("S64"), 64))


def random_groups(seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return labels, groups of very different sizes, and a number of folds."""
    random = np.random.default_rng(seed)
    images, parts = int(random.integers(60, 200)), int(random.integers(3, 11))
    group = random.zipf(1.5, images) % images if seed % 2 else random.integers(0, images // 2, images)
    return random.integers(0, random.integers(2, 6), images), group, parts


def test_no_image_and_no_near_duplicate_of_it_is_in_the_training_of_its_own_fold(monkeypatch):
    asked: dict[str, list[np.ndarray]] = {}
    monkeypatch.setattr(folds, "epochs", lambda views, labels, settings, rows: asked["train"].append(rows))
    monkeypatch.setattr(folds, "in_order", lambda pooled, labels, size, rows: asked["stop"].append(rows))
    monkeypatch.setattr(folds, "run_phase", lambda name, *_, **__: Phase(name, (), 0, 0.0, 0))
    monkeypatch.setattr(folds, "build_head", lambda *_: None)
    divided = 0
    for seed in range(20):
        label, group, parts = random_groups(seed)
        asked.update(train=[], stop=[])
        try:
            made = list(train_folds(features(label, group), 6, parts, LINEAR, TRAINING, ""))
        except DataError:  # one group has nearly all images
            continue
        divided += 1
        assert sorted(np.concatenate([fold.held_out for fold in made])) == list(range(len(label)))
        for fold, train, stop in zip(made, asked["train"], asked["stop"], strict=True):
            together = np.concatenate([fold.held_out, train, stop])
            assert sorted(together) == list(range(len(label))) and fold.trained_on == len(train) > 0
            for one, other in ((fold.held_out, train), (fold.held_out, stop), (train, stop)):
                assert not set(group[one]) & set(group[other])
    assert divided > 15


def test_folds_have_equal_shares_of_each_class_as_far_as_groups_allow():
    label = np.repeat([0, 1, 2], [100, 50, 20])
    group = np.arange(170) // 2  # pairs of one class
    fold_of = divide(label, group, 5)
    counts = np.array([np.bincount(label[fold_of == fold], minlength=3) for fold in range(5)])
    assert np.ptp(counts, axis=0).max() <= 2 and counts.sum(axis=0).tolist() == [100, 50, 20]


def test_a_class_at_every_fifth_place_is_in_all_of_five_folds():
    label = (np.arange(100) % 5 == 0).astype(int)
    assert np.bincount(divide(label, np.arange(100), 5)[label == 1]).tolist() == [4] * 5


def test_the_order_of_the_images_changes_nothing():
    label, group, _ = random_groups(2)
    fold_of = divide(label, group, 4)
    order = np.random.default_rng(1).permutation(len(label))
    np.testing.assert_array_equal(divide(label[order], group[order], 4), fold_of[order])


@pytest.mark.parametrize("group", [np.zeros(40, int), np.arange(40) % 4])
def test_too_few_groups_are_an_error_that_says_what_to_do(group):
    with pytest.raises(DataError, match=f"{len(np.unique(group))} groups .* 5 folds") as caught:
        divide(np.arange(40) % 2, group, 5)
    assert "evaluation.folds" in caught.value.remedy


def test_fewer_images_of_every_class_than_folds_are_an_error_too():
    with pytest.raises(DataError, match="too few"):
        divide(np.arange(9) % 3, np.arange(9), 5)


@pytest.fixture
def at_once(monkeypatch) -> None:
    """Let heads learn by least squares, at once and by heart, from the rows that they are given."""
    monkeypatch.setattr(folds, "epochs", lambda views, labels, settings, rows: (views[0][rows], labels[rows]))

    def solve(name, head, train, *_, **__):
        pooled, label = train
        kernel, bias = (np.zeros(variable.shape, np.float32) for variable in head.trainable_variables)
        wanted = np.eye(len(bias))[label] - 1 / len(bias)
        kernel[:] = np.linalg.lstsq(pooled, wanted, rcond=None)[0]
        head.set_weights([kernel, bias])
        return Phase(name, (), 0, 0.0, 0)

    monkeypatch.setattr(folds, "run_phase", solve)


def accuracy(label: np.ndarray, group: np.ndarray, pooled: np.ndarray) -> float:
    """Return the share of images that linear heads answer right out of fold."""
    made = features(label, group, pooled)
    right = np.zeros(len(label), bool)
    for fold in train_folds(made, int(label.max()) + 1, 3, LINEAR, TRAINING, ""):
        for rows, probabilities in fold.answers(made):
            right[rows] = probabilities.argmax(axis=1) == label[rows]
    return float(right.mean())


def clusters(label: np.ndarray, seed: int = 1) -> np.ndarray:
    """Return features that tell the classes apart."""
    random = np.random.default_rng(seed)
    return random.standard_normal((label.max() + 1, WIDTH))[label] * 2 + random.standard_normal((len(label), WIDTH))


def test_what_can_be_learned_is_answered_and_shuffled_labels_are_answered_by_chance(at_once):
    label = np.arange(180) % 3
    pooled, alone = clusters(label), np.arange(180)
    assert accuracy(label, alone, pooled) > 0.95
    shuffled = np.random.default_rng(5).permutation(label)
    assert abs(accuracy(shuffled, alone, pooled) - 1 / 3) < 3 * (2 / 9 / 180) ** 0.5


def test_copies_in_the_same_group_do_not_leak_and_would_if_groups_were_torn(at_once):
    random = np.random.default_rng(3)
    label = np.repeat(random.integers(0, 2, 90), 2)
    # Many random features: a head can learn the labels by heart, and recognises a copy.
    pooled = np.repeat(random.standard_normal((90, 300)), 2, axis=0)
    chance = 3 * (0.25 / 90) ** 0.5  # three standard deviations of 90 independent answers
    assert abs(accuracy(label, np.arange(180) // 2, pooled) - 0.5) < chance
    assert accuracy(label, np.arange(180), pooled) > 0.5 + chance


def test_the_same_seed_gives_the_same_answers_and_another_gives_others(tmp_path):
    label = np.arange(60) % 2
    made = features(label, np.arange(60), clusters(label) / 8)

    def probabilities(seed: int) -> np.ndarray:
        training = TRAINING.model_copy(update={"seed": seed})
        fold = next(train_folds(made, 2, 3, LINEAR, training, str(tmp_path)))
        [(rows, given)] = fold.answers(made)
        np.testing.assert_array_equal(rows, fold.held_out)
        assert len(fold.phase.epochs) <= TRAINING.head.epochs
        return given

    once = probabilities(1)
    np.testing.assert_array_equal(probabilities(1), once)
    assert not np.array_equal(probabilities(2), once)
    np.testing.assert_allclose(once.sum(axis=1), 1, atol=1e-5)


def test_a_class_that_a_head_has_not_seen_is_answered_wrong(at_once):
    label = np.concatenate([np.arange(60) % 2, [2, 2]])
    group = np.concatenate([np.arange(60), [60, 60]])  # the third class is one group
    made = features(label, group, clusters(label))
    balanced = TRAINING.model_copy(update={"class_weights": "balanced"})
    rare = [
        probabilities[label[rows] == 2].argmax(axis=1)
        for fold in train_folds(made, 3, 3, LINEAR, balanced, "")
        for rows, probabilities in fold.answers(made)
    ]
    assert len(np.concatenate(rare)) == 2 and 2 not in np.concatenate(rare)


def test_a_linear_head_is_solved_from_the_rows_of_its_training_and_chosen_on_the_next_fold(monkeypatch):
    label, alone = np.arange(60) % 2, np.arange(60)
    made = features(label, alone, clusters(label))
    seen = []

    def spy(name, head, views, labels, evaluation, *_):
        seen.append((views, labels, evaluation))
        return Phase(name, (), 0, 0.0, 0)

    monkeypatch.setattr(folds, "solve", spy)
    heads = list(train_folds(made, 2, 3, LINEAR, TrainingSettings(), ""))
    for fold, following, ((view,), labels, (stop, stop_labels)) in zip(heads, heads[1:] + heads[:1], seen, strict=True):
        train = np.setdiff1d(alone, np.concatenate([fold.held_out, following.held_out]))
        np.testing.assert_array_equal(view, made.pooled[train])
        np.testing.assert_array_equal(labels, label[train])
        np.testing.assert_array_equal(stop, made.pooled[following.held_out])
        np.testing.assert_array_equal(stop_labels, label[following.held_out])
