"""Two-phase training: what each phase may change, which weights are kept, and what stops it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from modules import phases, progress, two_phase
from modules.backbones import blocks
from modules.errors import TrainingError
from modules.network import build_classifier
from modules.settings import ModelSettings, PhaseSettings, TrainingSettings
from modules.two_phase import Datasets, Result, load_datasets, train_two_phases
from tests import tiny_backbone, tiny_model

CLASSES = len(tiny_model.LABELS)
LAST = 19  # in the middle of block_15
OFF = {"flip_horizontal": False, "brightness": 0.0}


@dataclass
class Spied:
    """One phase, seen from outside."""

    name: str
    loss: keras.losses.Loss
    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]
    rate: float

    @property
    def changed(self) -> set[str]:
        """Paths of the variables that the phase changed."""
        return {path for path in self.before if not np.array_equal(self.before[path], self.after[path])}


def variables(model: keras.Model) -> dict[str, np.ndarray]:
    found = {f"{owner.name}/{variable.path}": variable.numpy() for owner, variable in _owned(model)}
    assert len(found) == len(model.variables) - _seeds(model)
    return found


def _owned(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, keras.Variable]]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _owned(layer)
        else:
            yield from ((layer, variable) for variable in layer.weights)


def _seeds(model: keras.Model) -> int:
    return sum("seed_generator" in variable.path for variable in model.variables)


def layers_of(paths: set[str]) -> set[str]:
    return {path.split("/")[0] for path in paths}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("examples")
    for split, each in (("train", 8), ("eval", 4), ("test", 2)):
        pairs = [(255 - pixels if split == "test" else pixels, label) for pixels, label in tiny_model.examples(each)]
        tiny_model.write_transformed(folder, split, pairs)
    return str(folder)


def training(**changes: object) -> TrainingSettings:
    values: dict[str, object] = {
        "batch_size": 8,
        "seed": 3,
        "head": {"epochs": 2, "learning_rate": 0.01},
        "fine_tune": {"epochs": 1, "learning_rate": 0.002, "unfreeze": {"last": tiny_backbone.LAST_BLOCK}},
        **changes,
    }
    return TrainingSettings(**values)


def train(
    examples: str, logs: Path, settings: TrainingSettings, model: ModelSettings | None = None
) -> tuple[Result, list[Spied]]:
    """Trains, with a spy around every phase."""
    spied: list[Spied] = []

    def spy(name, classifier, train, evaluation, loss, settings, log_dir):
        before = variables(classifier)
        phase = phases.run_phase(name, classifier, train, evaluation, loss, settings, log_dir)
        assert isinstance(classifier.optimizer, keras.optimizers.Adam) and classifier.loss is loss
        rate = classifier.optimizer.get_config()["learning_rate"]
        spied.append(Spied(name, loss, before, variables(classifier), rate))
        return phase

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_phase, "run_phase", spy)
        data = load_datasets(examples, tiny_model.SIZE, settings)
        result = train_two_phases(
            data, CLASSES, model or tiny_backbone.settings(), settings, lambda phase: str(logs / phase)
        )
    return result, spied


# --- on the real network


@pytest.fixture(scope="module")
def real(examples: str, root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, list[Spied]]:
    """Both phases on MobileNetV2 with the weights that are committed."""
    model = ModelSettings(
        alpha=0.35,
        image_size=tiny_model.SIZE,
        weights=str(root / "weights" / "mobilenet_v2_0.35_96_letters.safetensors"),
        head={"units": (16,), "dropout": (0.2,)},
    )
    settings = training(
        head={"epochs": 1, "learning_rate": 0.01},
        fine_tune={"epochs": 1, "learning_rate": 0.002, "unfreeze": {"last": LAST}},
    )
    return train(examples, tmp_path_factory.mktemp("logs"), settings, model)


def test_batch_normalisation_is_the_same_before_and_after_both_phases(real):
    _, (head, tuned) = real
    paths = [path for path in head.before if path.rsplit("/", 1)[1] in ("moving_mean", "moving_variance")]
    assert len(paths) == 2 * 52
    assert np.ptp(head.before[paths[0]]) > 0  # pretrained: not what a new layer begins with
    for path in paths:
        np.testing.assert_array_equal(head.before[path], tuned.after[path], err_msg=path)


def test_phase_1_changes_the_head_and_nothing_else(real):
    _, (head, _) = real
    assert layers_of(head.changed) == {"head_1", "probabilities"}


def test_phase_2_changes_whole_blocks_from_the_cut_on_and_no_batch_normalisation(real):
    result, (_, tuned) = real
    top = [layer for block in blocks(result.classifier.backbone)[-2:] for layer in block.layers]
    assert len(top) <= LAST < len(top) + len(blocks(result.classifier.backbone)[-3].layers)
    expected = {layer.name for layer in top if "Conv2D" in type(layer).__name__}
    assert layers_of(tuned.changed) == expected | {"head_1", "probabilities"}


def test_both_phases_have_the_same_loss_object_and_their_own_rate(real):
    _, (head, tuned) = real
    assert (head.name, tuned.name) == ("head", "fine_tune")
    assert head.loss is tuned.loss
    assert (head.rate, tuned.rate) == (pytest.approx(0.01), pytest.approx(0.002))


def test_phase_2_begins_with_the_weights_of_phase_1(real):
    _, (head, tuned) = real
    for path, value in head.after.items():
        np.testing.assert_array_equal(value, tuned.before[path], err_msg=path)


# --- on a network of two blocks


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_backbone.use(monkeypatch)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiny, examples, tmp_path):
    (one, began), (same, _) = (train(examples, tmp_path, training(seed=3)) for _ in range(2))
    for value, expected in zip(one.classifier.model.get_weights(), same.classifier.model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)
    assert [phase.epochs for phase in one.phases] == [phase.epochs for phase in same.phases]
    other = variables(build_classifier(tiny_backbone.settings(), CLASSES, 4).model)
    kernels = [path for path in other if path.endswith("/kernel")]
    assert len(kernels) == 4
    assert not [path for path in kernels if np.array_equal(other[path], began[0].before[path])]


def test_where_phase_2_is_worse_phase_1s_weights_are_returned_and_the_reason_says_so(tiny, examples, tmp_path):
    fine_tune = {"epochs": 1, "learning_rate": 1.0, "unfreeze": {"last": tiny_backbone.LAST_BLOCK}}
    result, (head, tuned) = train(examples, tmp_path, training(fine_tune=fine_tune))
    assert tuned.changed
    before, after = result.phases[0].best["val_loss"], result.phases[1].best["val_loss"]
    assert after > before
    assert result.exported == "head"
    assert result.why == f"fine-tuning did not lower the loss on eval: {before:.4f} before, {after:.4f} after"
    for path, value in variables(result.classifier.model).items():
        np.testing.assert_array_equal(value, head.after[path], err_msg=path)


def test_where_phase_2_is_better_its_weights_are_returned_and_phase_1s_are_kept_beside(tiny, examples, tmp_path):
    fine_tune = {"epochs": 3, "learning_rate": 0.02, "unfreeze": {"last": tiny_backbone.LAST_BLOCK}}
    result, (head, tuned) = train(examples, tmp_path, training(fine_tune=fine_tune))
    before, after = result.phases[0].best["val_loss"], result.phases[1].best["val_loss"]
    assert after < before
    assert result.exported == "fine_tune"
    assert result.why == f"fine-tuning lowered the loss on eval from {before:.4f} to {after:.4f}"
    for path, value in variables(result.classifier.model).items():
        np.testing.assert_array_equal(value, tuned.after[path], err_msg=path)
    assert result.seconds == sum(phase.seconds for phase in result.phases)
    result.classifier.model.set_weights(result.after_head)
    for path, value in variables(result.classifier.model).items():
        np.testing.assert_array_equal(value, head.after[path], err_msg=path)


def test_without_epochs_phase_2_is_left_out(tiny, examples, tmp_path):
    settings = training(head={"epochs": 1}, fine_tune={"epochs": 0})
    result, spied = train(examples, tmp_path, settings)
    assert [phase.name for phase in spied] == ["head"] == [phase.name for phase in result.phases]
    assert (result.exported, result.why) == ("head", "training.fine_tune.epochs is 0")


def test_from_scratch_trains_everything_and_batch_normalisation_with_it(tiny, examples, tmp_path, monkeypatch):
    settings = training(head={"epochs": 1, "learning_rate": 0.01}, fine_tune={"epochs": 2})
    seen: list[PhaseSettings] = []
    began: list[dict[str, np.ndarray]] = []

    def spy(name, model, train, evaluation, loss, phase, log_dir):
        seen.append(phase)
        began.append(variables(model))
        return phases.run_phase(name, model, train, evaluation, loss, phase.model_copy(update={"epochs": 1}), log_dir)

    monkeypatch.setattr(two_phase, "run_phase", spy)
    data = load_datasets(examples, tiny_model.SIZE, settings)
    classifier, phase = two_phase.train_from_scratch(
        data, CLASSES, tiny_backbone.settings(), settings, lambda name: str(tmp_path / name)
    )
    assert (seen[0].epochs, seen[0].learning_rate) == (3, 0.01)  # as many epochs as both phases together
    found = variables(classifier.model)
    assert {path for path, value in found.items() if np.array_equal(value, began[0][path])} == set()
    assert any(path.endswith("moving_variance") for path in found)
    assert phase.trainable_parameters == sum(
        value.size for path, value in found.items() if "moving_" not in path and "seed" not in path
    )


# --- one phase


def net() -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])


def batches(*batches: tuple[list[list[float]], list[int]]) -> tf.data.Dataset:
    parts = [
        tf.data.Dataset.from_tensors((np.array(inputs, np.float32), np.array(labels, np.int64)))
        for inputs, labels in batches
    ]
    dataset = parts[0]
    for part in parts[1:]:
        dataset = dataset.concatenate(part)
    return dataset


GOOD = ([[1.0, 0.0], [0.0, 1.0]], [0, 1])
SWAPPED = ([[1.0, 0.0], [0.0, 1.0]], [1, 0])
NOT_A_NUMBER = ([[float("nan"), 0.0]], [0])


def phase_of(model: keras.Model, train: tf.data.Dataset, evaluation: tf.data.Dataset, logs: Path, **settings: object):
    loss = keras.losses.SparseCategoricalCrossentropy()
    return phases.run_phase("a_phase", model, train, evaluation, loss, PhaseSettings(**settings), str(logs))


@pytest.mark.parametrize(
    ("train", "evaluation", "key"), [(NOT_A_NUMBER, GOOD, "loss"), (GOOD, NOT_A_NUMBER, "val_loss")]
)
def test_a_loss_that_is_no_number_is_an_error_after_the_first_epoch(tmp_path, train, evaluation, key):
    with pytest.raises(TrainingError, match=f"^a phase: {key} is nan after epoch 1") as caught:
        phase_of(net(), batches(train), batches(evaluation), tmp_path, epochs=5)
    assert "learning_rate" in caught.value.remedy


def test_a_phase_keeps_the_weights_of_its_best_epoch_and_stops_early(tmp_path):
    """The better the model learns what is trained, the worse it is on eval: the first epoch is the best."""
    model = net()
    evaluation = batches(SWAPPED)
    said: list[str] = []
    with progress.listening(said.append):
        phase = phase_of(model, batches(GOOD), evaluation, tmp_path, epochs=20, patience=2, learning_rate=0.5)
    assert phase.best_epoch == 0 and len(phase.epochs) == 3
    assert model.evaluate(evaluation, verbose=0)[0] == pytest.approx(phase.best["val_loss"], rel=1e-5)
    assert [epoch["val_loss"] for epoch in phase.epochs] == sorted(epoch["val_loss"] for epoch in phase.epochs)
    assert set(phase.best) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    assert phase.epochs[0]["learning_rate"] == 0.5 and phase.epochs[2]["learning_rate"] < 0.5  # on the plateau
    assert phase.trainable_parameters == 6
    assert said[0] == "a phase: epoch 1/20" and said[-1].startswith("a phase: epoch 3/20, accuracy ")
    assert any(path.name.startswith("events") for path in tmp_path.rglob("*"))


def test_a_model_no_better_than_the_commonest_class_has_not_learned():
    pixels = np.stack([image for image, _ in tiny_model.examples(2)]).astype(np.float32)
    labels = np.array([tiny_model.LABELS.index(label) for _, label in tiny_model.examples(2)])
    model = tiny_model.colour_net()

    def evaluation(labels: np.ndarray) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((pixels, labels.astype(np.int64))).batch(4)

    assert two_phase.accuracy(model, evaluation(labels)) == 1.0
    two_phase.check_learned(model, evaluation(labels))
    mostly = np.where(labels == labels[0], (labels[0] + 1) % 3, labels[0])  # four of the first class, two of another
    with pytest.raises(TrainingError, match=r"accuracy on eval is 0.000, .* commonest class \(0.667\)"):
        two_phase.check_learned(model, evaluation(mostly))
    model.layers[-1].set_weights([np.zeros((3, 3)), np.array([5.0, 0.0, 0.0])])  # always the same class
    with pytest.raises(TrainingError, match=r"0.333, no better than always naming the commonest class \(0.333\)"):
        two_phase.check_learned(model, evaluation(labels))


# --- the datasets


def epoch(dataset: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*((image.numpy(), label.numpy()) for image, label in dataset), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def sorted_pairs(images: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


@pytest.fixture(scope="module")
def data(examples: str) -> Datasets:
    return load_datasets(examples, tiny_model.SIZE, training())


def test_eval_and_test_are_the_same_in_every_epoch_and_as_they_were_written(data):
    for dataset, each, inverted in ((data.evaluation, 4, False), (data.test, 2, True)):
        written = list(tiny_model.examples(each))
        pixels = np.stack([255 - image if inverted else image for image, _ in written]).astype(np.float32)
        for _ in range(2):
            images, labels = epoch(dataset)
            np.testing.assert_array_equal(images, pixels)
            assert [tiny_model.LABELS[label] for label in labels] == [label for _, label in written]


def test_train_is_shuffled_and_augmented_anew_in_every_epoch(data):
    (first, first_labels), (second, second_labels) = epoch(data.train), epoch(data.train)
    assert first.dtype == np.float32 and first.shape == second.shape == (24, tiny_model.SIZE, tiny_model.SIZE, 3)
    assert not np.array_equal(first_labels, second_labels)
    one, other = (sorted_pairs(*pair) for pair in ((first, first_labels), (second, second_labels)))
    assert not {image for image, _ in one} & {image for image, _ in other}


def test_an_image_by_itself_is_changed_differently_in_every_epoch(tmp_path):
    """One image: no order of a shuffle can make the difference."""
    for split in ("train", "eval", "test"):
        tiny_model.write_transformed(tmp_path, split, tiny_model.examples(1, ["red"]))
    train = load_datasets(str(tmp_path), tiny_model.SIZE, training(augmentation={"brightness": 0.2})).train
    assert len({epoch(train)[0].tobytes() for _ in range(4)}) == 4


def test_without_augmentation_train_has_the_written_pairs_in_another_order(examples):
    data = load_datasets(examples, tiny_model.SIZE, training(augmentation=OFF))
    written = [(image.astype(np.float32), tiny_model.LABELS.index(label)) for image, label in tiny_model.examples(8)]
    expected = np.stack([image for image, _ in written]), np.array([label for _, label in written])
    found = epoch(data.train)
    assert sorted_pairs(*found) == sorted_pairs(*expected)
    assert not np.array_equal(found[1], expected[1])


def test_the_seed_decides_the_epochs_whatever_ran_before(examples):
    def epochs(seed: int) -> list[bytes]:
        train = load_datasets(examples, tiny_model.SIZE, training(seed=seed)).train
        return [epoch(train)[0].tobytes() for _ in range(2)]

    first = epochs(3)
    tf.random.set_seed(99)
    assert epochs(3) == first
    assert epochs(4) != first
