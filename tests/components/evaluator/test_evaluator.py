"""Evaluator: TFX's metrics, the answers that are kept, and the verdict on them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.utils import model_util, util
from tfx import types
from tfx.components.evaluator import executor as tfx_executor
from tfx.components.evaluator.component import Evaluator as TfxEvaluator
from tfx.types import standard_artifacts
from tfx_bsl.coders import batch_util

from edgetune.components.common.artifacts import CrossValidation
from edgetune.components.evaluator import Evaluator
from edgetune.components.evaluator.executor import Executor, _evaluations
from edgetune.components.evaluator.extractors import BATCH, small_batches
from edgetune.modules.core.errors import ConfigError, DataError
from edgetune.modules.evaluation.answers import SCHEMA, read_answers
from edgetune.modules.evaluation.gates import Gate, read_gates
from edgetune.modules.examples.records import serialized
from edgetune.modules.settings.run import EvaluationSettings, flatten
from edgetune.pipeline.dag.eval_config import eval_config
from tests.helpers import recorded_shards
from tests.helpers.beam_context import context
from tests.tiny import model

SETTINGS = EvaluationSettings(min_accuracy=0.75, max_regression=0.02)


def component(settings: EvaluationSettings = SETTINGS) -> Evaluator:
    return Evaluator(
        examples=types.Channel(type=standard_artifacts.Examples),
        example_splits=["test"],
        model=types.Channel(type=standard_artifacts.Model),
        earlier_blessings=types.Channel(type=standard_artifacts.ModelBlessing),
        eval_config=eval_config(),
        settings=settings,
    )


def test_everything_except_settings_and_earlier_blessings_is_as_in_tfxs_component():
    ours = component()
    theirs = TfxEvaluator(
        examples=types.Channel(type=standard_artifacts.Examples),
        example_splits=["test"],
        model=types.Channel(type=standard_artifacts.Model),
        eval_config=eval_config(),
    )
    assert ours.id == theirs.id == "Evaluator"
    assert set(ours.outputs) == set(theirs.outputs)
    assert set(ours.inputs) == {*theirs.inputs, "earlier_blessings"}
    own = {name: value for name, value in flatten(SETTINGS).items() if name not in ("precision", "saliency")}
    own |= {name: ours.exec_properties[name] for name in ("code_digest", "library_versions")}
    given = {name: value for name, value in theirs.exec_properties.items() if value is not None}
    assert {name: value for name, value in ours.exec_properties.items() if value is not None} == {**given, **own}


@pytest.mark.parametrize("wrong", [1.5, -0.1, float("nan"), "high"])
def test_a_threshold_out_of_range_is_an_error_before_the_evaluation(monkeypatch, wrong):
    monkeypatch.setattr(tfx_executor.Executor, "Do", lambda *_: pytest.fail("was evaluated"))
    with pytest.raises(ConfigError, match="min_accuracy is "):
        Executor().Do({}, {}, {**component().exec_properties, "min_accuracy": wrong})


def test_earlier_models_are_compared_with_from_the_oldest_to_the_newest():
    earlier = []
    for number in (3, 1, 2):
        blessing = standard_artifacts.ModelBlessing()
        blessing.id = number
        blessing.set_string_custom_property("evaluation_uri", f"e{number}")
        earlier.append(blessing)
    assert _evaluations({"earlier_blessings": earlier}, None, SETTINGS) == ["e1", "e2", "e3"]


@pytest.mark.parametrize(("rows", "sizes"), [(0, []), (1, [1]), (BATCH, [BATCH]), (70, [32, 32, 6])])
def test_a_batch_is_split_without_losing_rows(rows, sizes):
    images = pa.array([[b"%d" % row] for row in range(rows)], pa.list_(pa.binary()))
    whole = pa.RecordBatch.from_pydict({"image": images})
    cut = list(small_batches({tfma.ARROW_RECORD_BATCH_KEY: whole, "other": 1}))
    parts = [part[tfma.ARROW_RECORD_BATCH_KEY] for part in cut]
    assert [part.num_rows for part in parts] == sizes
    assert [row for part in parts for row in part.to_pylist()] == whole.to_pylist()
    assert all(part["other"] == 1 for part in cut)


def wrong_labels(count: int, each: int = 24) -> list[tuple[bytes, str]]:
    """Return `3 * each` images, the first `count` of them with a label that the model does not answer."""
    other = {"red": "green", "green": "blue", "blue": "red"}
    labelled = [(model.png(pixels), label) for pixels, label in model.examples(each)]
    return [(encoded, other[label] if row < count else label) for row, (encoded, label) in enumerate(labelled)]


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory) -> types.Artifact:
    folder = tmp_path_factory.mktemp("model")
    model.save(model.colour_net(), folder / "Format-Serving")
    made = artifact(standard_artifacts.Model, folder)
    made.id = 7
    return made


def artifact(kind: type[types.Artifact], uri: Path) -> types.Artifact:
    made = kind()
    made.uri = str(uri)
    return made


def run(
    folder: Path, saved_model: types.Artifact, images, earlier=(), cross_validation=(), **settings
) -> dict[str, types.Artifact]:
    """Evaluate the model on images, pairs of encoding and label, and return evaluation and blessing."""
    model.write_raw(folder / "examples", "test", images)
    examples = artifact(standard_artifacts.Examples, folder / "examples")
    examples.split_names = '["test"]'
    recorded_shards.stamp(examples)
    outputs = {
        "evaluation": artifact(standard_artifacts.ModelEvaluation, folder / "evaluation"),
        "blessing": artifact(standard_artifacts.ModelBlessing, folder / "blessing"),
    }
    inputs = {"examples": [examples], "model": [saved_model], "earlier_blessings": list(earlier)}
    inputs["cross_validation"] = list(cross_validation)
    properties = component(EvaluationSettings(**settings)).exec_properties
    Executor(context(folder)).Do(inputs, {key: [made] for key, made in outputs.items()}, dict(properties))
    return outputs


def write_answers(folder: Path, images, predicted) -> None:
    """Write answers as the Evaluator keeps them."""
    folder.mkdir(parents=True)
    rows = [
        {"image_id": hashlib.sha256(encoded).hexdigest(), "label": label, "predicted": given, "probabilities": [1.0]}
        for (encoded, label), given in zip(images, predicted, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "answers-00000-of-00001.parquet")


@pytest.fixture
def right_answers(monkeypatch) -> None:
    """Let TFX's executor answer each image with its strongest colour, without TFMA, to judge the answers in no time."""

    def do(self, input_dict, output_dict, exec_properties):
        records = serialized(input_dict["examples"][0].uri, "test").as_numpy_iterator()
        features = [tf.train.Example.FromString(record).features.feature for record in records]
        encoded, labels = ([each[name].bytes_list.value[0] for each in features] for name in ("image", "label"))
        means = [tf.io.decode_png(image).numpy().mean(axis=(0, 1)) for image in encoded]
        names = [("red", "green", "blue")[mean.argmax()] for mean in means]
        write_answers(
            Path(output_dict["evaluation"][0].uri),
            [(image, label.decode()) for image, label in zip(encoded, labels, strict=True)],
            names,
        )

    monkeypatch.setattr(tfx_executor.Executor, "Do", do)


def verdict(made: dict[str, types.Artifact]) -> tuple[int, list[str]]:
    """Return the blessing's property and file."""
    blessing = made["blessing"]
    return blessing.get_int_custom_property("blessed"), [path.name for path in Path(blessing.uri).iterdir()]


def test_the_model_gets_only_small_batches_however_many_examples_are_read_at_once(monkeypatch, tmp_path, saved_model):
    monkeypatch.setattr(batch_util, "GetBatchElementsKwargs", lambda *_: {"min_batch_size": 70, "max_batch_size": 70})
    given: list[int] = []
    process = model_util.ModelSignaturesDoFn._batch_reducible_process

    def observed(self, extracts):
        given.append(util.batch_size(extracts))
        return process(self, extracts)

    monkeypatch.setattr(model_util.ModelSignaturesDoFn, "_batch_reducible_process", observed)
    made = run(tmp_path, saved_model, wrong_labels(10)[:70], min_accuracy=60 / 70)
    evaluation, blessing = made["evaluation"], made["blessing"]

    # Each batch goes through the model twice: for Transform's labels, and for the predictions.
    assert sorted(given) == [6, 6, 32, 32, 32, 32]
    [metrics] = (metrics for key, metrics in tfma.load_eval_result(evaluation.uri).slicing_metrics if not key)
    measured = {name: value["doubleValue"] for name, value in metrics[""][""].items() if value}
    assert measured["example_count"] == 70
    assert measured["sparse_categorical_accuracy"] == pytest.approx(60 / 70)

    answers = read_answers(evaluation.uri)
    assert len(set(answers.image_id)) == 70
    assert answers.correct.sum() == 60
    assert set(answers.label) == set(answers.predicted) == set(model.LABELS)
    assert answers.predicted.tolist() == [model.LABELS[index] for index in answers.probabilities.argmax(axis=1)]
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1, atol=1e-5)

    assert verdict(made) == (1, ["BLESSED"])
    assert blessing.get_int_custom_property("current_model_id") == 7
    assert blessing.get_string_custom_property("current_model") == saved_model.uri
    assert blessing.get_string_custom_property("evaluation_uri") == evaluation.uri
    assert not blessing.has_custom_property("compared_with")
    accuracy = next(gate for gate in read_gates(evaluation.uri) if gate.name == "evaluation.min_accuracy")
    assert (accuracy.measured, accuracy.images, accuracy.passed) == (pytest.approx(60 / 70), 70, True)


def test_two_test_images_are_not_blessed_however_right_the_answers_are(tmp_path, saved_model, right_answers):
    images = [(encoded, label) for encoded, label in wrong_labels(0, each=1) if label != "green"]
    made = run(tmp_path, saved_model, images)
    assert verdict(made) == (0, ["NOT_BLESSED"])
    few = next(gate for gate in read_gates(made["evaluation"].uri) if gate.passed is False)
    assert (few.name, few.measured, few.needed) == ("evaluation.min_test_images", 2, 30)
    assert few.remedy.startswith("add images, or move a larger share of them to the test split")


def earlier_blessing(number: int, evaluation: str = "") -> types.Artifact:
    made = standard_artifacts.ModelBlessing()
    made.id = number
    if evaluation:
        made.set_string_custom_property("evaluation_uri", evaluation)
    return made


def test_a_model_is_refused_for_what_an_earlier_one_got_right_although_that_model_is_gone(
    tmp_path, saved_model, right_answers
):
    images = wrong_labels(6)
    kept = tmp_path / "earlier"
    write_answers(kept, images, [label for _, label in images])
    blessings = [earlier_blessing(5, str(kept)), earlier_blessing(6, str(tmp_path / "deleted")), earlier_blessing(4)]
    made = run(tmp_path, saved_model, images, blessings)
    assert verdict(made) == (0, ["NOT_BLESSED"])
    [last] = (gate for gate in read_gates(made["evaluation"].uri) if gate.passed is False)
    assert (last.name, last.images, last.measured) == ("evaluation.max_regression", 72, pytest.approx(6 / 72))
    assert last.p_value == pytest.approx(1 / 64)
    assert f"{tmp_path / 'deleted'}: cannot be read" in last.reason and "kept no answers" in last.reason
    assert made["blessing"].get_string_custom_property("compared_with") == str(kept)


def test_nothing_is_blessed_without_answers(monkeypatch, tmp_path, saved_model):
    monkeypatch.setattr(tfx_executor.Executor, "Do", lambda *_: None)
    with pytest.raises(DataError, match="cannot be read|has no answers"):
        run(tmp_path, saved_model, wrong_labels(0))
    assert not (tmp_path / "blessing").exists()


def cross_validation(folder: Path, images, predicted) -> types.Artifact:
    write_answers(folder, images, predicted)
    return artifact(CrossValidation, folder)


def folds(made: dict[str, types.Artifact]) -> Gate:
    return next(gate for gate in read_gates(made["evaluation"].uri) if gate.name == "evaluation.folds")


def test_folds_refuse_a_model_that_the_test_images_alone_would_bless(tmp_path, saved_model, right_answers):
    images = wrong_labels(0, each=20)
    assert verdict(run(tmp_path / "off", saved_model, images))[0] == 1
    # Two thirds of the other images' answers are wrong; `run` writes the test split only, so they stand beside it.
    other = [(f"{number}".encode(), "red") for number in range(540)]
    predicted = [label for _, label in images] + ["red" if number % 3 == 0 else "blue" for number in range(540)]
    validation = cross_validation(tmp_path / "folds", [*images, *other], predicted)
    model.write_raw(tmp_path / "on" / "examples", "train", other)
    made = run(tmp_path / "on", saved_model, images, cross_validation=[validation], folds=10)
    assert verdict(made) == (0, ["NOT_BLESSED"])
    assert [gate.name for gate in read_gates(made["evaluation"].uri) if gate.passed is False] == ["evaluation.folds"]
    assert folds(made).measured == pytest.approx(240 / 600) and folds(made).images == 600


def test_passed_folds_bless_a_good_model_only_and_missing_ones_none(tmp_path, saved_model, right_answers):
    good, bad = wrong_labels(0, each=20), wrong_labels(32, each=20)
    for name, images, blessing in (("good", good, 1), ("bad", bad, 0)):
        validation = cross_validation(tmp_path / name / "folds", images, [label for _, label in images])
        made = run(tmp_path / name, saved_model, images, cross_validation=[validation], folds=10, min_accuracy=0.5)
        assert verdict(made)[0] == blessing and folds(made).passed
    made = run(tmp_path / "none", saved_model, good, folds=10)
    assert verdict(made) == (0, ["NOT_BLESSED"]) and folds(made).reason == "there is no cross-validation"
