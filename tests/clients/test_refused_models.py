"""What clients refuse, or answer wrongly without a word, the evaluator refuses, with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from edgetune.modules.evaluation.edge import evaluate
from edgetune.modules.evaluation.verdict import Thresholds
from tests.clients import damaged_models
from tests.clients.client_process import ask, rows
from tests.clients.environments import MEDIAPIPE, TFLITE_RUNTIME, Unavailable
from tests.tiny import edge, model

# EdgeEvaluator's own tests have its refusals; these show that foreign clients fail or answer wrongly.
pytestmark = pytest.mark.large
PAIRS = list(model.examples(4))
TRUTH = np.array([model.LABELS.index(label) for _, label in PAIRS])

# Where MediaPipe stops, and a part of what it says then.
REFUSED = {
    "no metadata": ("load", "it requires specifying NormalizationOptions metadata"),
    "a label too many": ("classify", "(3 vs. 4)"),
    "int8 input and output": ("load", "Requested one of these types: uint8/float32, got INT8"),
    "two signatures": ("load", "assumed to have a single subgraph"),
}
# Why our evaluator refuses it, in full.
REASONS = {
    "no metadata": ["has no metadata, so MediaPipe and ML Kit refuse it"],
    "a label too many": ["labels.txt inside the file differs from the SavedModel's"],
    "int8 input and output": [
        "input is int8 [1, 32, 32, 3] with scale 1 and zero point -128, "
        "but must be uint8 [1, 32, 32, 3] with scale 1 and zero point 0",
        "output is int8 [1, 3] with scale 0.00390625 and zero point -128, but must be float32 [1, 3]",
        "accuracy lost against the SavedModel 100 % (95 % interval 62.6 to 100) on 12 images; "
        "edge.max_accuracy_drop allows at most 1 %",
        "agreement with the SavedModel 0 % (95 % interval 0 to 24.2) on 12 images; edge.min_agreement needs 97 %",
        "accuracy lost on the class that lost most 100 % (95 % interval 16.8 to 100) on 4 images, p = 0.062; "
        "edge.max_class_drop allows at most 10 %; lost: blue (0 of 4 right answers left), "
        "green (0 of 4 right answers left), red (0 of 4 right answers left)",
    ],
    "two signatures": ["has 2 subgraphs, but clients expect one"],
    "normalised twice": [
        "declares mean 127.5 and deviation 127.5 instead of 0 and 1: the model normalises its input itself, "
        "and clients would normalise it a second time"
    ],
    "calibrated on dark images": [
        "input is uint8 [1, 32, 32, 3] with scale 0.392157 and zero point 0, "
        "but must be uint8 [1, 32, 32, 3] with scale 1 and zero point 0"
    ],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return damaged_models.make(tmp_path_factory.mktemp("sabotage"))


@pytest.fixture(scope="module")
def questions(files, tmp_path_factory):
    images = tmp_path_factory.mktemp("colours") / "images.npy"
    np.save(images, np.stack([pixels for pixels, _ in PAIRS]))
    return {name: {"model": file, "images": images} for name, file in files.items()}


@pytest.fixture(scope="module")
def mediapipe(questions):
    return answers_of(MEDIAPIPE, questions)


@pytest.fixture(scope="module")
def old_app(questions):
    return answers_of(TFLITE_RUNTIME, questions)


def answers_of(client, questions):
    try:
        return ask(client, questions)["answers"]
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def judged(files, tmp_path_factory):
    """Return the evaluator's verdict on each."""
    examples = edge.write_test_images(tmp_path_factory.mktemp("examples"))
    facts = {}
    for row in damaged_models.ROWS:
        folder = tmp_path_factory.mktemp("edge_model")
        for variant, name in row.items():
            (folder / f"model_{variant}.tflite").write_bytes(files[name].read_bytes())
        (folder / "labels.txt").write_text("".join(f"{label}\n" for label in model.LABELS))
        metrics = evaluate(edge.saved_model(), str(folder), examples, Thresholds(required=()))
        facts |= {name: metrics["variants"][variant] for variant, name in row.items()}
    return facts


def test_the_evaluator_refuses_each_for_what_is_wrong_with_it_and_the_sound_one_not(judged):
    assert judged[damaged_models.SOUND]["blessed"]
    assert {name: facts["reasons"] for name, facts in judged.items() if name != damaged_models.SOUND} == REASONS
    assert not [name for name, facts in judged.items() if facts["blessed"] and name != damaged_models.SOUND]


def test_mediapipe_answers_rightly_with_the_sound_one(mediapipe):
    answer = mediapipe[damaged_models.SOUND]
    assert "error" not in answer, answer
    assert (rows(answer["categories"]).argmax(axis=1) == TRUTH).all()


@pytest.mark.parametrize("name", REFUSED)
def test_mediapipe_refuses(mediapipe, name):
    stage, said = REFUSED[name]
    answer = mediapipe[name]
    assert "categories" not in answer
    assert answer["stage"] == stage
    assert said in answer["error"]


@pytest.mark.parametrize("name", ["normalised twice", "calibrated on dark images"])
def test_mediapipe_answers_wrongly_without_an_error(mediapipe, name):
    assert "error" not in mediapipe[name], mediapipe[name]
    sound, wrong = (rows(mediapipe[which]["categories"]) for which in (damaged_models.SOUND, name))
    best = sound.argmax(axis=1)
    lost = sound.max(axis=1) - wrong[np.arange(len(wrong)), best]
    assert lost.min() > 0.2  # of a probability of 0.9


def test_an_old_app_answers_wrongly_without_an_error_where_input_and_output_are_int8(old_app):
    assert "error" not in old_app[damaged_models.SOUND], old_app[damaged_models.SOUND]
    assert (np.array(old_app[damaged_models.SOUND]["probabilities"]).argmax(axis=1) == TRUTH).all()
    wrong = old_app["int8 input and output"]
    assert "error" not in wrong, wrong
    values = np.array(wrong["probabilities"])
    assert np.mean(values.argmax(axis=1) == TRUTH) < 0.5
    assert values.min() < -1
