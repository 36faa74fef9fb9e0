"""Two-phase training: what each phase may change, and which weights are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from edgetune.modules.models.blocks import blocks, build_backbone
from edgetune.modules.models.classifier import Classifier, build_classifier
from edgetune.modules.models.weights import save_safetensors
from edgetune.modules.settings.run import HeadSettings, ModelSettings, TrainingSettings
from edgetune.modules.training import phase as phases
from edgetune.modules.training import two_phase
from edgetune.modules.training.datasets import load_datasets
from edgetune.modules.training.early_stopping import rank
from edgetune.modules.training.logistic import VARIANCES
from edgetune.modules.training.two_phase import SHARES, Folders, Result, train_two_phases
from tests.helpers.model_state import compute_dtypes, variables
from tests.tiny import backbone
from tests.tiny import model as tiny_model

CLASSES = len(tiny_model.LABELS)
LAST = 19  # in the middle of block_15


@dataclass
class Spied:
    """Variables of the whole network before and after a phase."""

    name: str
    loss: keras.losses.Loss
    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]
    rate: float
    computed: set[str]

    @property
    def changed(self) -> set[str]:
        """Paths of the variables that the phase changed."""
        return {path for path in self.before if not np.array_equal(self.before[path], self.after[path])}


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
        "fine_tune": {"epochs": 1, "learning_rate": 0.002, "unfreeze": {"last": backbone.LAST_BLOCK}},
        **changes,
    }
    return TrainingSettings(**values)


def train(
    examples: str, folder: Path, settings: TrainingSettings, model: ModelSettings | None = None, cached: bool = False
) -> tuple[Result, list[Spied]]:
    """Train with a spy around every phase that records the whole network, even if a phase trains only a part."""
    spied: list[Spied] = []
    built: list[Classifier] = []

    def build(*arguments, **keywords):
        built.append(build_classifier(*arguments, **keywords))
        return built[-1]

    def spy(name, part, train, evaluation, loss, settings, log_dir, resume_dir, recipe):
        whole = built[-1].model
        before = variables(whole)
        phase = phases.run_phase(name, part, train, evaluation, loss, settings, log_dir, resume_dir, recipe)
        assert isinstance(part.optimizer, keras.optimizers.Adam) and part.loss is loss
        assert (part is whole) is not cached
        rate = part.optimizer.get_config()["learning_rate"]
        rate = rate["config"]["warmup_target"] if isinstance(rate, dict) else rate
        spied.append(Spied(name, part.loss, before, variables(whole), rate, compute_dtypes(part)))
        return phase

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_phase, "run_phase", spy)
        patch.setattr(two_phase, "build_classifier", build)
        data = load_datasets(examples, tiny_model.SIZE, settings)
        loss = keras.losses.SparseCategoricalCrossentropy()
        folders = Folders(logs=str(folder / "logs"), cache=folder / "cache" if cached else None)
        result = train_two_phases(examples, data, CLASSES, model or backbone.settings(), settings, loss, folders)
    return result, spied


# --- on the real network


Trained = tuple[Result, list[Spied]]


def train_real(examples: str, root: Path, folder: Path, cached: bool) -> Trained:
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
    return train(examples, folder, settings, model, cached)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, id="whole network", marks=pytest.mark.large),
        pytest.param(True, id="activation cache"),
    ],
)
def real(
    examples: str, root: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Trained:
    """One of either way."""
    return train_real(examples, root, tmp_path_factory.mktemp("real"), cached=request.param)


def test_batch_normalisation_is_unchanged_by_both_phases(real):
    _, (head, tuned) = real
    paths = [path for path in head.before if path.rsplit("/", 1)[1] in ("moving_mean", "moving_variance")]
    assert len(paths) == 2 * 52
    assert np.ptp(head.before[paths[0]]) > 0  # pretrained, not the initial values of a new layer
    for path in paths:
        np.testing.assert_array_equal(head.before[path], tuned.after[path], err_msg=path)


def test_phase_1_changes_only_the_head(real):
    _, (head, _) = real
    assert layers_of(head.changed) == {"head_1", "probabilities"}


def test_phase_2_changes_whole_blocks_behind_the_cut_except_batch_normalisation(real):
    result, (_, tuned) = real
    top = [layer for block in blocks(result.classifier.backbone)[-2:] for layer in block.layers]
    assert len(top) <= LAST < len(top) + len(blocks(result.classifier.backbone)[-3].layers)
    expected = {layer.name for layer in top if "Conv2D" in type(layer).__name__}
    assert layers_of(tuned.changed) == expected | {"head_1", "probabilities"}


def test_both_phases_share_the_loss_object_and_have_their_own_rate(real):
    _, (head, tuned) = real
    assert (head.name, tuned.name) == ("head", "fine_tune")
    assert head.loss is tuned.loss
    assert (head.rate, tuned.rate) == (pytest.approx(0.01), pytest.approx(0.002))
    assert head.computed == tuned.computed == {"float32"}


def test_phase_2_begins_with_the_weights_of_phase_1(real):
    _, (head, tuned) = real
    for path, value in head.after.items():
        np.testing.assert_array_equal(value, tuned.before[path], err_msg=path)


# --- on a network of two blocks


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone.use(monkeypatch)


def test_the_seed_determines_the_weights(tiny, examples, tmp_path):
    (one, began), (same, _) = (train(examples, tmp_path, training(seed=3)) for _ in range(2))
    for value, expected in zip(one.classifier.model.get_weights(), same.classifier.model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)
    assert [phase.epochs for phase in one.phases] == [phase.epochs for phase in same.phases]
    other = variables(build_classifier(backbone.settings(), CLASSES, 4).model)
    kernels = [path for path in other if path.endswith("/kernel")]
    assert len(kernels) == 4
    assert not [path for path in kernels if np.array_equal(other[path], began[0].before[path])]


def described(best: dict[str, float]) -> str:
    return f"accuracy {best['val_accuracy']:.4f} and loss {best['val_loss']:.4f}"


def test_if_phase_2_is_worse_the_weights_of_phase_1_are_returned_with_the_reason(tiny, examples, tmp_path):
    def settings(recipe: str) -> TrainingSettings:
        made = training(recipe=recipe, head={"epochs": 12, "learning_rate": 0.05})
        # The head has learned, and this learning rate, which settings from a file may not have, destroys it.
        return made.model_copy(update={"fine_tune": made.fine_tune.model_copy(update={"learning_rate": 3.0})})

    result, (head, tuned) = train(examples, tmp_path, settings("auto"))
    assert tuned.changed
    before, after = (phase.best for phase in result.phases)
    assert rank(after) > rank(before)
    assert (result.exported, result.share) == ("head", 0.0)
    # Its loss is measured on probabilities, which are kept away from 0.
    told = f"fine-tuning was not better on eval: {described(before)} before, accuracy {after['val_accuracy']:.4f} and"
    assert result.why.startswith(told)
    for path, value in variables(result.classifier.model).items():
        np.testing.assert_array_equal(value, head.after[path], err_msg=path)


def test_if_phase_2_is_better_its_weights_are_returned_with_those_of_phase_1(tiny, examples, tmp_path):
    head = {"epochs": 2, "learning_rate": 0.02}
    fine_tune = {"epochs": 3, "learning_rate": 0.02, "unfreeze": {"last": backbone.LAST_BLOCK}}
    result, (head, tuned) = train(examples, tmp_path, training(head=head, fine_tune=fine_tune))
    before, after = (phase.best for phase in result.phases)
    assert rank(after) < rank(before)
    assert result.exported == "fine_tune" and result.share in SHARES
    assert result.why.startswith(
        f"fine-tuning was better on eval: {described(before)} before, {described(after)} after"
    )
    for path, value in variables(result.classifier.model).items():
        expected = head.after[path] + result.share * (tuned.after[path] - head.after[path])
        np.testing.assert_allclose(value, expected, atol=1e-6, err_msg=path)
    assert result.seconds == sum(result.frozen_seconds) + sum(phase.seconds for phase in result.phases)
    result.classifier.model.set_weights(result.after_head)
    for path, value in variables(result.classifier.model).items():
        np.testing.assert_array_equal(value, head.after[path], err_msg=path)


def test_phase_2_is_skipped_without_epochs(tiny, examples, tmp_path):
    settings = training(head={"epochs": 1}, fine_tune={"epochs": 0})
    result, spied = train(examples, tmp_path, settings)
    assert [phase.name for phase in spied] == ["head"] == [phase.name for phase in result.phases]
    assert (result.exported, result.why, result.share) == ("head", "training.fine_tune.epochs is 0", 0.0)


def test_the_tutorial_exports_what_phase_2_ends_with_also_if_it_is_worse(tiny, examples, tmp_path):
    made = training(recipe="tutorial", head={"epochs": 6, "learning_rate": 0.05})
    worse = made.model_copy(update={"fine_tune": made.fine_tune.model_copy(update={"learning_rate": 3.0})})
    result, (_, tuned) = train(examples, tmp_path, worse)
    assert result.phases[1].best["val_loss"] > result.phases[0].best["val_loss"]
    assert (result.exported, result.share, result.why) == ("fine_tune", 1.0, "training.recipe is tutorial")
    for path, value in variables(result.classifier.model).items():
        np.testing.assert_array_equal(value, tuned.after[path], err_msg=path)


def test_of_the_weights_between_both_phases_the_best_on_eval_are_exported(tiny, examples, tmp_path, monkeypatch):
    measured = iter([(0.8, 0.5), (0.95, 0.5), (0.95, 0.4), (0.85, 0.1)])
    monkeypatch.setattr(
        two_phase, "_measure", lambda *_: dict(zip(("val_accuracy", "val_loss"), next(measured), strict=True))
    )
    result, (head, tuned) = train(examples, tmp_path, training())
    assert (result.exported, result.share) == ("fine_tune", 0.75)
    assert result.why == (
        "fine-tuning was better on eval: accuracy 0.8000 and loss 0.5000 before, accuracy 0.8500 and loss 0.1000 after"
        ", accuracy 0.9500 and loss 0.4000 with 0.75 of its changes"
    )
    for path, value in variables(result.classifier.model).items():
        expected = head.after[path] + 0.75 * (tuned.after[path] - head.after[path])
        np.testing.assert_allclose(value, expected, atol=1e-6, err_msg=path)


def test_a_linear_head_is_solved_on_the_cached_views_with_and_without_the_cache(tiny, examples, tmp_path):
    linear = backbone.settings().model_copy(update={"head": HeadSettings()})
    results = []
    for cached in (True, False):
        result, spied = train(examples, tmp_path / str(cached), training(), linear, cached)
        assert [phase.name for phase in spied] == ["fine_tune"]
        assert [phase.name for phase in result.phases] == ["head", "fine_tune"]
        head = result.phases[0]
        assert len(head.epochs) == len(VARIANCES)
        assert head.best["val_loss"] == min(entry["val_loss"] for entry in head.epochs)
        kernel = result.after_head[-2]
        assert kernel.shape[-1] == CLASSES and np.abs(kernel).max() > 0
        began = [value for path, value in spied[0].before.items() if path.endswith("probabilities/kernel")]
        np.testing.assert_array_equal(began, [kernel])  # fine-tuning begins with the solution
        results.append(result)
    for one, other in zip(results[0].after_head, results[1].after_head, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.fixture(scope="module")
def cached(examples: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Train on the cache, and return the folder and the result."""
    folder = tmp_path_factory.mktemp("cached")
    with pytest.MonkeyPatch.context() as patch:
        backbone.use(patch)
        return folder, train(examples, folder, training(), cached=True)[0]


def test_a_phase_on_the_cache_measures_the_same_as_the_whole_network(tiny, examples, tmp_path):
    """The kept weights in the whole network give the loss on eval that the phase measured on cached activations."""
    result, _ = train(examples, tmp_path, training(recipe="tutorial"), cached=True)
    phase = next(phase for phase in result.phases if phase.name == result.exported)
    model = result.classifier.model
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    loss, accuracy = model.evaluate(load_datasets(examples, tiny_model.SIZE, training()).evaluation, verbose=0)
    assert loss == pytest.approx(phase.best["val_loss"], rel=2e-3)
    assert accuracy == pytest.approx(phase.best["val_accuracy"])


def test_with_the_cache_the_same_seed_gives_the_same_cache_and_weights(tiny, cached, examples, tmp_path):
    folder, one = cached
    same = train(examples, tmp_path, training(), cached=True)[0]
    caches = [[path.read_bytes() for path in sorted(place.rglob("*.bin"))] for place in (folder, tmp_path)]
    assert len(caches[0]) == 3 * (4 + 1)  # cut, pooled and label of four views and of eval
    assert caches[0] == caches[1]
    for value, expected in zip(one.classifier.model.get_weights(), same.classifier.model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_other_weights_have_a_cache_of_their_own(tiny, examples, tmp_path, monkeypatch):
    class OpenedError(Exception):
        pass

    def opened(*arguments: object) -> None:
        raise OpenedError(arguments[4])

    monkeypatch.setattr(two_phase, "FrozenFeatures", opened)
    file = str(tmp_path / "weights.safetensors")
    keys = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        save_safetensors(build_backbone(backbone.settings()), file)
        model = backbone.settings().model_copy(update={"weights": file})
        with pytest.raises(OpenedError) as caught:
            train(examples, tmp_path, training(), model, cached=True)
        keys.append(str(caught.value))
    assert keys[0] == keys[1] != keys[2]


def test_without_phase_2_the_cache_contains_pooled_features_only(tiny, examples, tmp_path):
    settings = training(head={"epochs": 1}, fine_tune={"epochs": 0})
    result, _ = train(examples, tmp_path, settings, cached=True)
    assert result.exported == "head"
    assert {path.stem for path in tmp_path.rglob("*.bin")} == {"pooled", "label"}


def test_mixed_precision_trains_in_bfloat16_and_returns_a_float32_network(tiny, examples, tmp_path):
    before = keras.config.dtype_policy().name
    result, (head, tuned) = train(examples, tmp_path, training(mixed_precision=True), cached=True)
    assert keras.config.dtype_policy().name == before == "float32"
    assert {layer.compute_dtype for layer in result.classifier.backbone.layers} == {"float32"}
    for path, value in variables(result.classifier.model).items():
        expected = head.after[path] + result.share * (tuned.after[path] - head.after[path])
        np.testing.assert_allclose(value, expected, atol=1e-6, err_msg=path)
    assert head.changed and tuned.changed
    assert head.computed == tuned.computed == {"bfloat16", "float32"}  # float32: the probabilities
