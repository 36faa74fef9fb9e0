"""CrossValidator: its key, and one complete execution on tiny data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tfx import types
from tfx.types import standard_artifacts

from edgetune.components.common.artifacts import CrossValidation
from edgetune.components.cross_validator import CrossValidator
from edgetune.components.cross_validator.executor import Executor
from edgetune.modules.core.errors import DataError
from edgetune.modules.evaluation.answers import read_answers
from edgetune.modules.evaluation.intervals import wilson
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import DataSettings, ModelSettings, TrainingSettings
from tests.helpers import recorded_shards
from tests.tiny import backbone, transform
from tests.tiny import model as tiny_model

TRAINING = TrainingSettings(
    batch_size=8,
    seed=3,
    head={"epochs": 12, "learning_rate": 0.03},
    augmentation={"flip_horizontal": False, "crop": 1.0, "brightness": 0.0},
)
NAMES = dict(zip(tiny_model.LABELS, transform.LABELS, strict=True))
IMAGES = {"train": 8, "eval": 2, "test": 2}
"""Of each class; with their copies, twice as many."""


def component(
    model: ModelSettings | None = None, training: TrainingSettings = TRAINING, folds: int = 3
) -> CrossValidator:
    return CrossValidator(
        examples=types.Channel(type=standard_artifacts.Examples),
        transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
        model=model or backbone.settings(),
        training=training,
        data=DataSettings(path="/photos", max_side=None, background=(1, 2, 255)),
        folds=folds,
    )


def test_images_are_read_as_transform_reads_them():
    assert Reading.of(component().exec_properties) == Reading(max_side=None, background=(1, 2, 255))


def test_only_what_the_heads_depend_on_is_in_its_key():
    def changed(**values: object) -> bool:
        new = TrainingSettings(**{**TRAINING.model_dump(), **values})
        return dict(component(training=new).exec_properties) != dict(component().exec_properties)

    assert not changed(fine_tune={"epochs": 3}) and not changed(baselines=("from_scratch",))
    assert changed(seed=4) and changed(head={"epochs": 2}) and changed(class_weights="balanced")
    assert component(folds=4).exec_properties["folds"] == 4


def run(folder: Path, folds: int, each: dict[str, int] = IMAGES) -> types.Artifact:
    examples, graph, made = standard_artifacts.Examples(), standard_artifacts.TransformGraph(), CrossValidation()
    examples.uri = str(folder / "examples")
    for number, (split, count) in enumerate(each.items()):
        images = [(tiny_model.image(label, 1000 * number + seed), label) for seed in range(count) for label in NAMES]
        # Each image twice, with one pixel changed.
        copies = [pixels.copy() for pixels, _ in images]
        for copy in copies:
            copy[0, 0] ^= 1
        encoded = [tiny_model.png(pixels) for pixels in [*(pixels for pixels, _ in images), *copies]]
        pairs = zip(encoded, [NAMES[label] for _, label in images] * 2, strict=True)
        groups = [f"{split} {group}" for group in range(len(images))] * 2
        tiny_model.write_raw(folder / "examples", split, pairs, groups)
    recorded_shards.stamp(examples)
    graph.uri = str(Path(transform.transformed()[0].transform_savedmodel_dir).parent)
    made.uri = str(folder / "CrossValidator" / "cross_validation" / "1")
    properties = dict(component(folds=folds).exec_properties)
    inputs = {"examples": [examples], "transform_graph": [graph]}
    Executor().Do(inputs, {"cross_validation": [made]}, properties)
    return made


def test_every_image_of_all_splits_is_answered_once_and_the_summary_agrees(monkeypatch, tmp_path):
    backbone.use(monkeypatch)
    made = run(tmp_path, folds=3)
    found = read_answers(made.uri)
    images = 2 * 3 * sum(IMAGES.values())
    assert len(set(found.image_id)) == len(found) == images
    assert set(found.label) == set(transform.LABELS)
    given = np.array(transform.LABELS, object)[found.probabilities.argmax(axis=1)]
    assert found.predicted.tolist() == given.tolist()
    right = int(found.correct.sum())
    assert right / images > 0.8  # colours are easy

    summary = json.loads(Path(made.uri, "folds.json").read_text())
    assert (summary["images"], summary["accuracy"]) == (images, right / images)
    assert summary["interval"] == pytest.approx(wilson(right, images)) and "correlated" in summary["ignored"]
    assert {label: one["images"] for label, one in summary["classes"].items()} == dict.fromkeys(NAMES.values(), 24)
    assert sum(round(fold["accuracy"] * fold["images"]) for fold in summary["folds"]) == right
    for fold in summary["folds"]:
        assert 0 < fold["trained_on"] < images - fold["images"] and fold["epochs"] <= 12
    assert made.get_float_custom_property("accuracy") == pytest.approx(right / images)
    assert sorted(path.name for path in Path(made.uri).iterdir()) == [
        *(f"answers-0000{fold}-of-00003.parquet" for fold in range(3)),
        "folds.json",
    ]
    assert (tmp_path / "CrossValidator" / "activation_cache").is_dir()


def test_too_few_images_for_the_folds_are_an_error(monkeypatch, tmp_path):
    backbone.use(monkeypatch)
    with pytest.raises(DataError, match="9 groups of near-duplicates, are too few .* for 10 folds"):
        run(tmp_path, folds=10, each={"train": 1, "eval": 1, "test": 1})
