"""The gate of the folds: it refuses what all images speak against, and blesses nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgetune.modules.evaluation.answers import Answers, shard_writer, table
from edgetune.modules.evaluation.folds_gate import folds_gate, judge
from edgetune.modules.evaluation.gates import FOLDS, Gate, as_json, blessed, from_json
from edgetune.modules.evaluation.model_gates import model_gates
from edgetune.modules.settings.run import EvaluationSettings

LABELS = ["ash", "beech"]
SETTINGS = EvaluationSettings(folds=10)


def answers(images, wrong=()) -> Answers:
    """Return answers to images of classes that alternate; those to the images in `wrong` are wrong."""
    numbers = np.asarray(images)
    truth = np.array([LABELS[n % 2] for n in numbers], object)
    given = np.array([LABELS[(n + (n in set(wrong))) % 2] for n in numbers], object)
    return Answers(np.array([f"{n:04}" for n in numbers], object), truth, given)


def write(folder: Path, found: Answers, folds: int = 3) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(folds):
        rows = slice(number, None, folds)
        scores = np.full((len(found.label[rows]), 2), 0.5, np.float32)
        with shard_writer(str(folder), number, folds, folder.parent) as writer:
            writer.write_table(table(found.image_id[rows], found.label[rows], found.predicted[rows], scores))
    return str(folder)


def test_a_lucky_test_split_is_refused(tmp_path):
    # 40 test images without an error, in 400 of which heads have 130: all of them among the others.
    tested, everywhere = answers(range(40)), answers(range(400), wrong=range(100, 230))
    assert blessed(model_gates(tested, LABELS, SETTINGS))
    gate = folds_gate(tested, write(tmp_path / "made", everywhere), 400, SETTINGS)
    assert (gate.name, gate.passed, gate.images, gate.judged) == (FOLDS, False, 400, "upper_bound")
    assert gate.measured == pytest.approx(270 / 400) and gate.high < 0.8
    assert "67.5 % of all images" in gate.reason and "100 % of the test images" in gate.reason
    assert "evaluation.folds needs 80 % by the upper end of the interval" in gate.sentence()
    assert not blessed([*model_gates(tested, LABELS, SETTINGS), gate])
    assert from_json(as_json([gate])) == [gate]


def test_heads_that_are_worse_than_a_fine_tuned_model_do_not_refuse_it():
    # The heads are right on 60 %, of the test images as of all; the model on 95 %.
    everywhere = answers(range(400), wrong=[n for n in range(400) if n % 10 in (1, 2, 5, 8)])
    gate = judge(answers(range(40), wrong=(0, 3)), everywhere, 400, SETTINGS)
    assert gate.passed and gate.measured == pytest.approx(0.95)


def test_shuffled_labels_are_refused():
    random = np.random.default_rng(1)
    everywhere = answers(range(400), wrong=np.flatnonzero(random.random(400) < 0.5))
    gate = judge(answers(range(40), wrong=range(0, 40, 2)), everywhere, 400, SETTINGS)
    assert gate.passed is False


def test_folds_never_bless():
    passed = Gate(FOLDS, "SavedModel", "accuracy", needed=0.8, passed=True)
    unapplied = Gate("evaluation.max_regression", "SavedModel", "loss", needed=0.0, passed=None)
    assert not blessed([passed])
    assert not blessed([passed, unapplied])
    failed = answers(range(40), wrong=range(0, 40, 2))
    gate = judge(failed, answers(range(400)), 400, EvaluationSettings(folds=10, min_accuracy=0.6))
    assert gate.name == FOLDS
    assert not blessed([*model_gates(failed, LABELS, SETTINGS), passed])
    few = answers(range(10))
    assert judge(few, answers(range(100)), 100, SETTINGS).passed
    assert not blessed([*model_gates(few, LABELS, SETTINGS), judge(few, answers(range(100)), 100, SETTINGS)])


def test_what_is_missing_damaged_or_of_other_images_refuses(tmp_path):
    tested = answers(range(40))
    whole = write(tmp_path / "whole", answers(range(400)))
    assert folds_gate(tested, whole, 400, SETTINGS).passed
    (tmp_path / "torn").mkdir()
    torn = write(tmp_path / "torn" / "made", answers(range(400)))
    Path(torn, "answers-00001-of-00003.parquet").unlink()
    cut = write(tmp_path / "cut", answers(range(400)))
    path = Path(cut, "answers-00001-of-00003.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    others = write(tmp_path / "others", answers(range(1, 401)))
    causes = {
        None: "there is no cross-validation",
        str(tmp_path / "nowhere"): "cannot be read",
        torn: "not one complete set",
        cut: "cannot be read as answers",
        others: "did not answer the test image 0000 of the class ash",
    }
    for uri, cause in causes.items():
        gate = folds_gate(tested, uri, 400, SETTINGS)
        assert gate.passed is False and cause in gate.reason and gate.remedy
        assert not blessed([*model_gates(tested, LABELS, SETTINGS), gate])
    fewer = folds_gate(tested, whole, 401, SETTINGS)
    assert fewer.passed is False and "answered 400 of 401 images" in fewer.reason
    assert folds_gate(answers(range(0)), whole, 400, SETTINGS).reason == "there are no test images"


def test_files_with_the_same_pixels_have_an_answer_each():
    # Image 0 is there twice, once in the test split.
    everywhere = answers([0, *range(400)], wrong=range(300, 340))
    gate = judge(answers([0, *range(40)]), everywhere, 401, SETTINGS)
    assert gate.passed and gate.measured == pytest.approx(361 / 401)
    assert judge(answers(range(40)), everywhere, 401, SETTINGS).measured == pytest.approx(361 / 401)


def test_an_interval_that_reaches_the_bound_does_not_refuse():
    # Heads that are right on every other image tell little: 75 % on 40 images may well be 80 %.
    everywhere = answers(range(400), wrong=range(0, 400, 2))
    gate = judge(answers(range(40), wrong=range(0, 40, 4)), everywhere, 400, SETTINGS)
    assert gate.measured == pytest.approx(0.75) and gate.low < 0.75 < 0.8 < gate.high
    assert gate.passed
