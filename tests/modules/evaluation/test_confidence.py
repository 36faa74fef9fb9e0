"""Calibration, thresholds and unknown images of a SavedModel and its variants, measured while they are evaluated."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.evaluation.calibration import at_temperature, expected_calibration_error, reliability
from edgetune.modules.evaluation.confidence import SAVED_MODEL, Confidence
from edgetune.modules.evaluation.edge import evaluate
from edgetune.modules.evaluation.verdict import Thresholds
from tests.tiny import edge, model


def noisy(seed: int) -> tuple[bytes, str]:
    """Return an image whose strongest channel is only a little stronger, and, once in a while, another label."""
    random = np.random.default_rng(seed)
    pixels = random.integers(80, 140, (model.SIZE, model.SIZE, 3), dtype=np.uint8)
    channel = int(random.integers(3))
    pixels[..., channel] += np.uint8(random.integers(1, 60))
    label = ("red", "green", "blue")[channel]
    return model.png(pixels), label if seed % 8 else ("red", "green", "blue")[(channel + 1) % 3]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return the metrics of float32, and the SavedModel's probabilities for each split."""
    folder = tmp_path_factory.mktemp("measured")
    splits = {"eval": [noisy(seed) for seed in range(90)], "test": [noisy(seed) for seed in range(100, 160)]}
    for split, pairs in splits.items():
        model.write_raw(folder / "examples", split, pairs)
    grey = [model.png(np.full((20, 20, 3), level, np.uint8)) for level in (0, 128, 255)]
    edge_model = edge.write_edge_model(folder / "edge", {"float32": edge.converted()["float32"]})
    metrics = evaluate(
        edge.saved_model(),
        edge_model,
        str(folder / "examples"),
        Thresholds(min_agreement=0.0),
        precision=0.8,
        temperature=2.0,
        unknown=[*grey, "broken.jpg: damaged", noisy(1)[0]],
    )
    server = tf.saved_model.load(edge.saved_model()).signatures["serving_default"]
    answers = {
        split: (
            server(image_bytes=tf.constant([content for content, _ in pairs]))["probabilities"].numpy(),
            np.array([model.LABELS.index(label) for _, label in pairs]),
        )
        for split, pairs in splits.items()
    }
    return metrics, answers


def test_the_calibration_is_that_of_the_test_split_before_and_after_the_temperature(measured):
    metrics, answers = measured
    found, (probabilities, truth) = metrics["calibration"], answers["test"]
    assert found["temperature"] == 2.0 and found["bins"] == len(found["after"]["reliability"]) == 15
    for when, given in (("after", probabilities), ("before", at_temperature(probabilities, 0.5))):
        diagram = reliability(given.max(axis=1), given.argmax(axis=1) == truth)
        assert found[when]["ece"] == pytest.approx(expected_calibration_error(diagram), abs=1e-6)
        entropy = -np.log(given[np.arange(60), truth]).mean()
        assert found[when]["cross_entropy"] == pytest.approx(entropy, rel=1e-4)
    assert found["before"]["ece"] != found["after"]["ece"]
    assert json.loads(json.dumps(metrics)) == metrics


def test_thresholds_are_chosen_on_eval_and_measured_on_test(measured):
    metrics, answers = measured
    found = metrics["calibration"]
    assert found["precision"] == 0.8 and len(found["thresholds"]) == 3
    assert any(threshold is not None for threshold in found["thresholds"])
    for split in ("eval", "test"):
        probabilities, truth = answers[split]
        best, top = probabilities.argmax(axis=1), probabilities.max(axis=1)
        for label, (threshold, row) in enumerate(zip(found["thresholds"], found[split], strict=True)):
            taken = (best == label) & (top >= (2.0 if threshold is None else threshold))
            assert (row["answers"], row["accepted"]) == ((best == label).sum(), taken.sum())
            assert row["correct"] == (taken & (truth == label)).sum()
            if split == "eval" and threshold is not None:
                assert row["precision"] >= 0.8 and row["accepted"] >= 5
    assert found["selection"]["answers"] == 60


def test_variants_are_measured_with_the_same_thresholds(measured):
    metrics, _ = measured
    found, variant = metrics["calibration"], metrics["variants"]["float32"]["calibration"]
    assert variant["ece"] == pytest.approx(found["after"]["ece"], abs=1e-3)
    assert variant["selection"] == found["selection"] and variant["unknown"] == found["unknown"]


def test_unknown_images_that_reach_a_threshold_are_counted_and_unusable_files_too(measured):
    metrics, _ = measured
    unknown = metrics["calibration"]["unknown"]
    assert (unknown["images"], unknown["unusable"]) == (4, 1) and 0 <= unknown["accepted"] <= 4


def test_unknown_images_are_accepted_at_the_threshold_of_the_class_that_they_get():
    confidence = Confidence(2, 0.5)
    sure = np.tile(np.float32([0.9, 0.1]), (5, 1))
    confidence.add_eval(np.zeros(5, int), sure)  # class 0 has the threshold 0.9, class 1 none
    confidence.add_test(SAVED_MODEL, np.zeros(5, int), sure)
    assert confidence.of_saved_model()["unknown"] is None
    confidence.add_unknown(SAVED_MODEL, np.float32([[0.95, 0.05], [0.8, 0.2], [0.01, 0.99]]))
    assert confidence.thresholds() == [0.899999, None]  # 0.9 as float32, rounded down
    assert confidence.of_saved_model()["unknown"] == {"images": 3, "unusable": 0, "accepted": 1}


def test_thresholds_are_those_of_eval_whatever_the_answers_on_test_are():
    confidence = Confidence(2, 0.5)
    confidence.add_eval(np.zeros(5, int), np.tile(np.float32([0.9, 0.1]), (5, 1)))
    confidence.add_test(SAVED_MODEL, np.zeros(9, int), np.tile(np.float32([0.6, 0.4]), (9, 1)))
    assert confidence.thresholds() == [0.899999, None]
    assert confidence.of_saved_model()["selection"]["accepted"] == 0


def test_before_the_temperature_the_probabilities_are_those_of_the_undivided_logits():
    confidence = Confidence(2, 0.5, temperature=2.0)
    confidence.add_test(SAVED_MODEL, np.array([0]), np.float32([[0.75, 0.25]]))  # the odds are 3 : 1, and were 9 : 1
    found = confidence.of_saved_model()
    assert found["before"]["cross_entropy"] == pytest.approx(-np.log(0.9), rel=1e-5)
    assert found["after"]["cross_entropy"] == pytest.approx(-np.log(0.75), rel=1e-5)


def test_without_eval_images_no_class_has_a_threshold(tmp_path):
    metrics = evaluate(
        edge.saved_model(),
        edge.write_edge_model(tmp_path / "edge", {"float32": edge.converted()["float32"]}),
        edge.write_test_images(tmp_path / "examples"),
        Thresholds(),
    )
    found = metrics["calibration"]
    assert found["thresholds"] == [None] * 3 and found["unknown"] is None
    assert found["selection"] == {"answers": 12, "accepted": 0, "correct": 0, "coverage": 0.0, "precision": None}


def test_answers_that_are_not_probabilities_of_the_classes_are_not_measured():
    confidence = Confidence(2, 0.9)
    confidence.add_test("short", np.array([0]), np.float32([[1.0]]))
    confidence.add_test("broken", np.array([0]), np.float32([[0.5, 0.5]]))
    confidence.add_test("broken", np.array([0]), np.float32([[np.nan, 0.5]]))
    assert [confidence.of_variant(name) for name in ("short", "broken", "absent")] == [None] * 3
    confidence.add_test(SAVED_MODEL, np.array([0]), np.float32([[np.nan, 0.5]]))
    assert confidence.of_saved_model()["after"]["ece"] is None
