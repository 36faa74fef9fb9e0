"""Label errors: flipped labels are found and named, groups are not separated, and what cannot be judged is not."""

from __future__ import annotations

import numpy as np
import pytest

from edgetune.modules.data import label_errors
from edgetune.modules.data.label_errors import accuracy, judged, out_of_fold, outliers, suspects

CLASSES, WIDTH, EACH = 3, 16, 40


@pytest.fixture(scope="module")
def photographs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features of three classes around distant centres, true labels, and a group for each image."""
    random = np.random.default_rng(1)
    label = np.repeat(np.arange(CLASSES), EACH)
    features = np.eye(CLASSES, WIDTH)[label] * 6 + random.normal(size=(len(label), WIDTH)) / 2 + 3
    return features.astype(np.float32), label, np.arange(len(label)).astype("S4")


def test_flipped_labels_are_listed_first_with_the_class_that_they_look_like(photographs):
    features, label, group = photographs
    given = label.copy()
    flipped = {5: 1, 50: 2, 61: 0, 100: 1}
    for row, other in flipped.items():
        given[row] = other
    probabilities = out_of_fold(features, given, group, CLASSES)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert probabilities.dtype == np.float32
    found = suspects(probabilities, given)
    assert {(one.row, one.given, one.looks_like) for one in found} == {
        (row, other, label[row]) for row, other in flipped.items()
    }
    scores = [one.score for one in found]
    assert scores == sorted(scores) and scores[-1] < 0.34
    assert scores == [probabilities[one.row, one.given] for one in found]
    assert accuracy(probabilities, given) == pytest.approx(1 - 4 / len(label))
    assert suspects(out_of_fold(features, label, group, CLASSES), label) == []


def test_a_copy_with_the_same_wrong_label_does_not_vouch_for_it(photographs):
    features, label, group = photographs
    copies = np.repeat(features[:1], 30, axis=0)
    all_features = np.concatenate([features, copies])
    given = np.concatenate([label, np.ones(30, int)])  # 30 copies of an image of class 0, all labelled 1
    together = np.concatenate([group, np.full(30, group[0])])
    alone = np.arange(len(given)).astype("S4")
    assert out_of_fold(all_features, given, together, CLASSES)[-1].argmax() == 0
    assert out_of_fold(all_features, given, alone, CLASSES)[-1].argmax() == 1


def test_an_image_whose_class_is_in_its_fold_alone_is_not_judged(photographs):
    features, label, group = photographs
    given = np.where(np.arange(len(label)) < 4, 3, label)  # a fourth class, all of one group
    group = np.where(given == 3, b"one", group)
    probabilities = out_of_fold(features, given, group, 4)
    assert np.isnan(probabilities[:4]).all() and not np.isnan(probabilities[4:]).any()
    assert not {one.row for one in suspects(probabilities, given)} & {0, 1, 2, 3}


def test_too_few_groups_give_no_answers(photographs):
    features, label, _ = photographs
    probabilities = out_of_fold(features, label, np.full(len(label), b"x"), CLASSES)
    assert (
        np.isnan(probabilities).all()
        and suspects(probabilities, label) == []
        and np.isnan(accuracy(probabilities, label))
    )


def test_an_image_that_resembles_no_other_is_an_outlier(photographs):
    features, _, _ = photographs
    strange = np.zeros((1, WIDTH), np.float32)
    strange[0, -1] = 50
    found = outliers(np.concatenate([features, strange]))
    assert found[0].row == len(features) and found[0].score > 5
    assert all(one.score < 2 for one in found[1:])
    assert outliers(np.ones((40, WIDTH), np.float32)) == outliers(features[:5]) == []


def test_of_many_images_a_part_is_learned_from_and_searched_among(photographs, monkeypatch):
    monkeypatch.setattr(label_errors, "MOST_TRAINED", 60)
    features, label, group = photographs
    assert accuracy(out_of_fold(features, label, group, CLASSES), label) > 0.95
    strange = np.zeros((1, WIDTH), np.float32)
    strange[0, -1] = 50
    assert outliers(np.concatenate([features, strange]))[0].row == len(features)


def test_small_classes_are_judged_in_as_many_folds_as_the_largest_has_images(photographs):
    features, label, group = photographs
    small = np.concatenate([np.flatnonzero(label == number)[: number + 2] for number in range(CLASSES)])  # 2, 3 and 4
    assert judged(out_of_fold(features[small], label[small], group[small], CLASSES)).all()


def test_too_many_probabilities_are_not_made(photographs, monkeypatch):
    features, label, group = photographs
    monkeypatch.setattr(label_errors, "MOST_PROBABILITIES", len(label) * CLASSES - 1)
    probabilities = out_of_fold(features, label, group, CLASSES)
    assert probabilities.shape == (len(label), CLASSES) and probabilities.strides == (0, 0)
    assert not judged(probabilities).any() and suspects(probabilities, label) == []
    assert np.isnan(accuracy(probabilities, label))
    monkeypatch.setattr(label_errors, "MOST_PROBABILITIES", len(label) * CLASSES)
    assert judged(out_of_fold(features, label, group, CLASSES)).all()
