"""TwoPhaseTrainer: its typed properties, and one complete execution on tiny data."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, List  # noqa: UP035 - TFX compares typing.List

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from tfx import types
from tfx.types import standard_artifacts
from tfx.types.component_spec import ExecutionParameter

from edgetune.components.common.parameters import parameters_of
from edgetune.components.two_phase_trainer import TwoPhaseTrainer, executor
from edgetune.components.two_phase_trainer.component import TwoPhaseTrainerSpec
from edgetune.components.two_phase_trainer.executor import MODEL_PREFIX, TRAINING_PREFIX, Executor, _folders
from edgetune.modules.conversion.convert import convert
from edgetune.modules.core import progress
from edgetune.modules.core.errors import DataError, TrainingError, WeightsError
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.modules.serving import export
from edgetune.modules.serving import saved_model as saved_model_reader
from edgetune.modules.settings.run import EdgeSettings, ModelSettings, TrainingSettings, flatten, unflatten
from edgetune.modules.training import distribution
from tests.helpers import recorded_shards
from tests.tiny import backbone, transform
from tests.tiny import model as tiny_model

MODEL = ModelSettings(
    backbone="mobilenet", weights="none", alpha=0.5, image_size=64, head={"units": (4, 3), "dropout": (0.1, 0.2)}
)
TRAINING = TrainingSettings(
    batch_size=7,
    seed=11,
    head={"epochs": 3},
    fine_tune={"epochs": 0, "unfreeze": {"last": 9}},
    augmentation={"flip_horizontal": False, "translation": 0.1},
    baselines=("fixed_features",),
)


def component(model: ModelSettings = MODEL, training: TrainingSettings = TRAINING) -> TwoPhaseTrainer:
    return TwoPhaseTrainer(
        transformed_examples=types.Channel(type=standard_artifacts.Examples),
        transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
        model=model,
        training=training,
    )


def test_every_setting_is_a_separate_typed_property():
    properties = component().exec_properties
    assert properties["model_backbone"] == "mobilenet"
    assert properties["model_head_units"] == [4, 3]
    assert properties["training_fine_tune_unfreeze_last"] == 9
    assert properties["training_augmentation_flip_horizontal"] is False
    leaves = {**flatten(MODEL, MODEL_PREFIX), **flatten(TRAINING, TRAINING_PREFIX)}
    assert set(properties) == {*leaves, "weights_digest", "code_digest", "library_versions"}
    assert not any(isinstance(value, Mapping) for value in properties.values())


def test_the_settings_can_be_restored_from_the_properties():
    properties = dict(component().exec_properties)
    assert unflatten(ModelSettings, properties, MODEL_PREFIX) == MODEL
    assert unflatten(TrainingSettings, properties, TRAINING_PREFIX) == TRAINING


def test_settings_that_are_none_are_left_out_and_restored_as_none():
    properties = dict(component().exec_properties)
    assert "model_weights_sha256" not in properties
    assert unflatten(ModelSettings, properties, MODEL_PREFIX).weights_sha256 is None
    pinned = MODEL.model_copy(update={"weights_sha256": "0" * 64})
    assert component(model=pinned).exec_properties["model_weights_sha256"] == "0" * 64


def test_the_properties_have_the_types_of_the_settings():
    def plain(parameters: Mapping[str, ExecutionParameter]) -> dict[str, tuple[object, bool]]:
        return {name: (parameter.type, parameter.optional) for name, parameter in parameters.items()}

    found = plain(TwoPhaseTrainerSpec.PARAMETERS)
    assert found["model_alpha"] == (float, False)
    assert found["model_backbone"] == (str, False)
    assert found["model_weights_sha256"] == (str, True)
    assert found["model_head_units"] == (List[int], False)  # noqa: UP006
    assert found["model_head_dropout"] == (List[float], False)  # noqa: UP006
    assert found["training_augmentation_flip_horizontal"] == (bool, False)
    assert found["training_baselines"] == (List[str], False)  # noqa: UP006
    assert plain(parameters_of(EdgeSettings, "e_"))["e_max_bytes"] == (int, True)


def test_a_changed_setting_changes_the_properties_and_an_equal_one_does_not():
    changed = TRAINING.model_copy(update={"seed": 12})
    assert component().exec_properties == component().exec_properties
    assert component(training=changed).exec_properties != component().exec_properties


def test_a_changed_weights_file_changes_the_properties(tmp_path):
    path = tmp_path / "w.safetensors"
    model = MODEL.model_copy(update={"weights": str(path)})
    digests = set()
    for content in (b"one", b"two"):
        path.write_bytes(content)
        found = component(model=model).exec_properties["weights_digest"]
        assert found == hashlib.sha256(content).hexdigest()
        digests.add(found)
    assert len(digests) == 2


def test_a_missing_weights_file_is_an_error_of_the_constructor(tmp_path):
    with pytest.raises(WeightsError, match="absent.h5: does not exist"):
        component(model=MODEL.model_copy(update={"weights": str(tmp_path / "absent.h5")}))


def test_the_outputs_are_those_of_tfxs_trainer():
    outputs = component().outputs
    assert outputs["model"].type is standard_artifacts.Model
    assert outputs["model_run"].type is standard_artifacts.ModelRun


# --- one execution


@dataclass(frozen=True)
class Trained:
    """Outputs of an execution."""

    model: standard_artifacts.Model
    run: standard_artifacts.ModelRun

    def json(self, name: str) -> object:
        return json.loads(Path(self.run.uri, name).read_text())


def train(
    folder: Path,
    eval_labels: Iterable[str] = tiny_model.LABELS,
    blank: bool = False,
    eval_each: int = 4,
    **training: object,
) -> Trained:
    """Train on colours, with the network of two blocks and a real graph of Transform.

    Args:
        folder: Folder for all files.
        eval_labels: Classes of the eval split.
        blank: Whether all images are the same grey.
        eval_each: Images of each class in the eval split.
        training: Settings.
    """
    values = {"batch_size": 8, "seed": 3, "head": {"epochs": 12, "learning_rate": 0.03}, **training}
    for split, each in (("train", 8), ("eval", eval_each), ("test", 3)):
        labels = eval_labels if split == "eval" else tiny_model.LABELS
        pairs = [(pixels * 0 + 128 if blank else pixels, label) for pixels, label in tiny_model.examples(each, labels)]
        tiny_model.write_transformed(folder / "examples", split, pairs)
    inputs = {
        "transformed_examples": standard_artifacts.Examples(),
        "transform_graph": standard_artifacts.TransformGraph(),
    }
    inputs["transformed_examples"].uri = str(folder / "examples")
    recorded_shards.stamp(inputs["transformed_examples"])
    graph = transform.transformed()[0]
    inputs["transform_graph"].uri = str(Path(graph.transform_savedmodel_dir).parent)
    made = Trained(standard_artifacts.Model(), standard_artifacts.ModelRun())
    for name, artifact in (("model", made.model), ("model_run", made.run)):
        artifact.uri = str(folder / "TwoPhaseTrainer" / name / "1")
        Path(artifact.uri).mkdir(parents=True, exist_ok=True)
    properties = dict(component(backbone.settings(), TrainingSettings(**values)).exec_properties)
    Executor().Do(
        {name: [artifact] for name, artifact in inputs.items()},
        {"model": [made.model], "model_run": [made.run]},
        properties,
    )
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    with pytest.MonkeyPatch.context() as patch:
        backbone.use(patch)
        for _ in range(40):  # what another component may have built before
            keras.layers.GlobalAveragePooling2D()
        return train(
            tmp_path_factory.mktemp("trained"),
            fine_tune={"epochs": 2, "learning_rate": 0.003, "unfreeze": {"last": backbone.LAST_BLOCK}},
            baselines=("fixed_features", "from_scratch"),
        )


def test_the_history_has_every_epoch_of_both_phases_and_the_choice(trained):
    history = trained.json("history.json")
    assert [phase["name"] for phase in history["phases"]] == ["head", "fine_tune"]
    for phase in history["phases"]:
        ranks = [(-epoch["val_accuracy"], epoch["val_loss"]) for epoch in phase["epochs"]]
        assert phase["best_epoch"] == ranks.index(min(ranks))
    assert history["exported"] == ("fine_tune" if history["share"] else "head")
    assert history["why"].startswith("fine-tuning ")
    assert trained.run.get_string_custom_property("exported_phase") == history["exported"]


def test_layers_built_before_in_the_process_do_not_change_the_names_in_the_model(trained):
    """A run that resumes after a kill has built others than one that was not killed; its files are to be the same."""
    (path,) = Path(trained.model.uri).rglob("saved_model.pb")
    content = path.read_bytes()
    assert b"global_average_pooling2d" in content
    assert max(map(int, re.findall(rb"global_average_pooling2d_(\d+)", content)), default=0) < 20


def test_the_device_and_the_reason_for_it_are_recorded(trained):
    device = trained.json("history.json")["device"]
    assert device["device"] == trained.run.get_string_custom_property("device") == "the CPU"  # conftest.py hides GPUs
    assert device["why"].startswith("there is ") and device["warning"] == ""


def test_the_benefit_of_transfer_is_written_and_recorded_in_the_properties(trained):
    rows = trained.json("transfer.json")
    assert [row["name"] for row in rows] == ["fine_tuned", "fixed_features", "from_scratch"]
    for row in rows:
        assert row["seconds"] > 0
        assert trained.run.get_float_custom_property(f"{row['name']}_seconds") == pytest.approx(row["seconds"])
        stored = trained.run.get_float_custom_property(f"{row['name']}_test_accuracy")
        assert stored == pytest.approx(row["test_accuracy"])
    epochs = {phase["name"]: len(phase["epochs"]) for phase in trained.json("history.json")["phases"]}
    assert [row["epochs"] for row in rows[:2]] == [epochs["head"] + epochs["fine_tune"], epochs["head"]]


def test_fixed_features_are_measured_with_the_weights_of_phase_1(monkeypatch):
    model = tiny_model.colour_net()
    right = model.get_weights()
    images = np.stack([pixels for pixels, _ in tiny_model.examples(2)]).astype(np.float32)
    labels = np.array([tiny_model.LABELS.index(label) for _, label in tiny_model.examples(2)])
    data = SimpleNamespace(test=tf.data.Dataset.from_tensors((images, labels)))
    always_the_same = [*(np.zeros_like(weight) for weight in right[:-1]), np.array([5.0, 0.0, 0.0], np.float32)]
    first, second = ({"val_accuracy": 0.5}, {"val_accuracy": 0.6}), ({},)
    phases = (SimpleNamespace(seconds=2.0, epochs=first), SimpleNamespace(seconds=3.0, epochs=second))
    result = SimpleNamespace(
        classifier=SimpleNamespace(model=model), after_head=always_the_same, frozen_seconds=(0.5, 0.25), phases=phases
    )
    training = TrainingSettings(baselines=("fixed_features",))
    rows = executor._transfer(result, data, 3, MODEL, training, None, None)
    assert [(row["name"], row["test_accuracy"]) for row in rows] == [
        ("fine_tuned", 1.0),
        ("fixed_features", pytest.approx(1 / 3)),
    ]
    assert [(row["seconds"], row["epochs"]) for row in rows] == [(5.75, 3), (2.5, 2)]
    assert [row["eval_accuracy"] for row in rows] == [[0.5, 0.6, None], [0.5, 0.6]]


def test_class_weights_and_label_smoothing_reach_the_loss(tmp_path, monkeypatch):
    class CalledError(Exception):
        pass

    def called(*arguments: object) -> None:
        raise CalledError(arguments[5])

    backbone.use(monkeypatch)
    monkeypatch.setattr(executor, "train_two_phases", called)
    counts = {"train": [4, 2, 2], "eval": [1, 1, 1]}
    monkeypatch.setattr(executor, "label_counts", lambda uri, split, classes: counts[split])
    with pytest.raises(CalledError) as caught:
        train(tmp_path, class_weights="balanced", label_smoothing=0.2)
    [loss] = caught.value.args
    assert loss.smoothing == 0.2
    np.testing.assert_allclose(loss.weights, [8 / 12, 8 / 6, 8 / 6])


def test_tensorboard_logs_exist_for_each_phase(trained):
    logs = Path(trained.run.uri, "logs")
    assert sorted(path.name for path in logs.iterdir()) == ["fine_tune", "from_scratch", "head"]
    assert all(any(phase.rglob("events.*")) for phase in logs.iterdir())


def test_the_saved_model_has_the_accuracy_that_was_measured(trained):
    path = Path(trained.model.uri, "Format-Serving")
    assert saved_model_reader.read_labels(str(path)) == list(transform.LABELS)
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    pairs = list(tiny_model.examples(3))
    found = signature(image_bytes=tf.constant([tiny_model.png(pixels) for pixels, _ in pairs]))
    indices = found["probabilities"].numpy().argmax(axis=-1)
    right = [tiny_model.LABELS[index] == label for index, (_, label) in zip(indices, pairs, strict=True)]
    accuracy = sum(right) / len(right)
    assert accuracy == pytest.approx(trained.json("transfer.json")[0]["test_accuracy"])
    assert accuracy > 0.6  # one in three by chance


SHORT: dict[str, Any] = {
    "eval_each": 12,
    "head": {"epochs": 4, "learning_rate": 0.03},
    "fine_tune": {"epochs": 0},
}


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train in an execution that is killed after the training, and run again."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path_factory.mktemp("resumed")
    with pytest.MonkeyPatch.context() as patch:
        backbone.use(patch)
        with patch.context() as kill:
            kill.setattr(export, "export_saved_model", killed)
            with pytest.raises(KeyboardInterrupt):
                train(folder, **SHORT)
        assert list((folder / "TwoPhaseTrainer" / "resume").iterdir())
        return train(folder, **SHORT)


def test_equal_trainings_have_one_digest_of_weights_though_their_files_differ(resumed, tmp_path, monkeypatch):
    backbone.use(monkeypatch)
    made = [resumed, train(tmp_path, **SHORT)]
    one, two = (each.model.get_string_custom_property("weights_sha256") for each in made)
    assert one == two and len(one) == 64
    [recipe] = {each.model.get_string_custom_property("recipe_sha256") for each in made}
    assert len(recipe) == 64
    files = [Path(each.model.uri, "Format-Serving", "saved_model.pb").read_bytes() for each in made]
    assert files[0] != files[1], "the digest of all files would do"


def probabilities_of(made: Trained, contents: list[bytes]) -> np.ndarray:
    signature = tf.saved_model.load(f"{made.model.uri}/Format-Serving").signatures["serving_default"]
    return signature(image_bytes=tf.constant(contents))["probabilities"].numpy()


def test_a_fitted_temperature_is_applied_once_after_a_resume_and_in_every_format(resumed, tmp_path, monkeypatch):
    backbone.use(monkeypatch)
    scaled, plain = resumed, train(tmp_path, calibrate=False, **SHORT)
    assert plain.json("history.json")["calibration"] is None
    assert plain.model.get_float_custom_property("temperature") == 1.0

    found = scaled.json("history.json")["calibration"]
    value = found["temperature"]
    assert value == scaled.model.get_float_custom_property("temperature") and abs(value - 1) > 0.02
    assert found["images"] == 36 and found["note"] == ""
    assert found["after"]["cross_entropy"] < found["before"]["cross_entropy"]
    assert 0 <= found["after"]["ece"] <= 1

    contents = [tiny_model.png(pixels) for pixels, _ in tiny_model.examples(3)]
    before, after = probabilities_of(plain, contents), probabilities_of(scaled, contents)
    np.testing.assert_allclose(after, softmax(np.log(before.astype(np.float64)) / value, axis=1), atol=1e-5)
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all() and np.abs(after - before).max() > 1e-3
    images = np.stack([pixels for pixels, _ in tiny_model.examples(3)])
    [float32] = convert(f"{scaled.model.uri}/Format-Serving", ["float32"], images).values()
    np.testing.assert_allclose(EdgeRunner(float32).probabilities(images), after, atol=1e-4)


def test_a_model_that_learned_nothing_is_an_error_and_is_not_written(tmp_path, monkeypatch):
    backbone.use(monkeypatch)
    with pytest.raises(TrainingError, match="no better than always naming the most common class"):
        train(tmp_path, blank=True, head={"epochs": 1}, fine_tune={"epochs": 0})
    assert list((tmp_path / "TwoPhaseTrainer" / "model" / "1").iterdir()) == []


def test_a_class_missing_from_eval_is_an_error_before_the_training(tmp_path, monkeypatch):
    backbone.use(monkeypatch)
    with pytest.raises(DataError, match="the split eval has no image of 10, 2 b"):
        train(tmp_path, eval_labels=["red"])
    assert list((tmp_path / "TwoPhaseTrainer" / "model_run" / "1").iterdir()) == []


def test_after_success_the_cache_stays_for_the_next_run_and_checkpoints_do_not(trained):
    folder = Path(trained.model.uri).parents[1]
    assert len(list((folder / "activation_cache").iterdir())) == 1
    assert not (folder / "resume").exists()


def test_a_worker_that_is_not_the_chief_trains_but_writes_nothing(tmp_path, monkeypatch):
    backbone.use(monkeypatch)
    trained = []
    monkeypatch.setattr(distribution, "is_chief", lambda strategy: False)
    monkeypatch.setattr(distribution, "has_other_workers", lambda strategy: True)
    monkeypatch.setattr(distribution, "wait_for_all", lambda strategy: trained.append("waited"))
    with progress.listening(trained.append):
        train(tmp_path, fine_tune={"epochs": 0})
    assert any(said.startswith("head: epoch 12/12") for said in trained) and trained[-1] == "waited"
    files = [path for path in (tmp_path / "TwoPhaseTrainer").rglob("*") if path.is_file()]
    assert files == []


def test_with_a_url_the_cache_is_temporary_and_there_are_no_checkpoints(tmp_path):
    folders = _folders("gs://b/run/1", "gs://b/model/1", "key", None, tmp_path)
    assert (folders.logs, folders.cache, folders.resume) == ("gs://b/run/1/logs", tmp_path / "activation_cache", None)
    local = _folders("/b/run/1", "/b/model/1", "key", None, tmp_path)
    assert (local.cache, local.resume) == (Path("/b/activation_cache"), Path("/b/resume/key"))
