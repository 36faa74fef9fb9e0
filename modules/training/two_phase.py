"""Two-phase transfer learning: a new head on a frozen backbone, then the top of the backbone at a tenth of the rate.

Method: Keras's transfer learning guide (https://keras.io/guides/transfer_learning/): the backbone stays in inference
mode in both phases, and the model is compiled again before fine-tuning. With Keras 3, `training=False` does not do that
(`fit` overrides it): batch normalisation is not trainable, and dropout inside the backbone is stopped.

The frozen part of the network gives the same output in every epoch. With the activation cache it is computed only once:
phase 1 trains the head alone, phase 2 the head and the part of the backbone behind the cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.keras_defaults import computing_in
from edgetune.modules.models.blocks import cut_backbone, unfreeze
from edgetune.modules.models.classifier import Classifier, build_classifier, pool
from edgetune.modules.models.weights import weights_digest
from edgetune.modules.settings.run import FineTuneSettings, ModelSettings, PhaseSettings, TrainingSettings
from edgetune.modules.training import distribution
from edgetune.modules.training.cached_features import CUT, POOLED, FrozenFeatures
from edgetune.modules.training.datasets import Datasets
from edgetune.modules.training.early_stopping import rank
from edgetune.modules.training.epochs import Epochs
from edgetune.modules.training.phase import Phase, run_phase

HEAD, FINE_TUNE = "head", "fine_tune"


@dataclass(frozen=True)
class Folders:
    """Folders for the logs, caches and checkpoints of a training."""

    logs: str
    """TensorBoard logs, one subfolder for each phase."""
    cache: Path | None = None
    """Activation caches, on a local disk; None runs the whole network in every epoch."""
    resume: Path | None = None
    """Checkpoints from which a killed training resumes, on a local disk; None saves none."""


@dataclass(frozen=True)
class Result:
    """A trained classifier."""

    classifier: Classifier
    phases: tuple[Phase, ...]
    exported: str
    """Name of the phase whose weights the classifier has."""
    why: str
    """Why that phase, in one sentence."""
    after_head: list[np.ndarray]
    """All weights after phase 1, the baseline with fixed features."""
    frozen_seconds: tuple[float, ...]
    """Duration of the preparation of each phase: building the network, computing or opening the activation cache."""

    @property
    def seconds(self) -> float:
        """Total duration."""
        return sum(self.frozen_seconds) + sum(phase.seconds for phase in self.phases)


@dataclass(frozen=True)
class _Part:
    """The model that a phase trains, and its datasets."""

    model: keras.Model
    train: Epochs
    evaluation: tf.data.Dataset


def train_two_phases(
    examples_uri: str,
    data: Datasets,
    classes: int,
    model: ModelSettings,
    settings: TrainingSettings,
    loss: keras.losses.Loss,
    folders: Folders,
    strategy: tf.distribute.Strategy | None = None,
) -> Result:
    """Train the classifier in two phases, and keep the better of the two results.

    Args:
        examples_uri: Artifact of transformed examples.
        data: The same examples as batches; the test split is not used.
        classes: Number of classes.
        model: The network.
        settings: Both phases, augmentation, cache.
        loss: The loss object, the same one in both phases.
        folders: Folders for logs, caches and checkpoints.
        strategy: Strategy from `modules.training.distribution.start`; None for one device.

    Raises:
        ConfigError: The architecture does not support the settings, or has no such part to unfreeze.
        WeightsError: The weights are unavailable or do not match the architecture.
        TrainingError: A loss is not a finite number, or the disk is full.
    """
    started = time.monotonic()
    classifier = build_classifier(model, classes, settings.seed)
    trained = classifier
    if settings.mixed_precision or strategy is not None:
        trained = _training_copy(classifier, model, classes, settings, strategy)
    head, tail = _parts(classifier, trained, examples_uri, data, model, settings, folders)
    resume = None if folders.resume is None else str(folders.resume)
    frozen_seconds: list[float] = []

    def run(name: str, prepare: Callable[[], _Part], phase: PhaseSettings | FineTuneSettings, since: float) -> Phase:
        part = prepare()
        frozen_seconds.append(round(time.monotonic() - since, 2))
        return run_phase(name, part.model, part.train, part.evaluation, loss, phase, f"{folders.logs}/{name}", resume)

    trained.backbone.trainable = False
    first = run(HEAD, head, settings.head, started)
    after_head = trained.model.get_weights()
    if not settings.fine_tune.epochs:
        classifier.model.set_weights(after_head)
        why = "training.fine_tune.epochs is 0"
        return Result(classifier, (first,), HEAD, why, after_head, tuple(frozen_seconds))

    unfreeze(trained.backbone, settings.fine_tune.unfreeze)
    second = run(FINE_TUNE, tail, settings.fine_tune, time.monotonic())
    better = rank(second.best) < rank(first.best)
    exported, weights = (FINE_TUNE, trained.model.get_weights()) if better else (HEAD, after_head)
    before, after = (
        f"accuracy {phase.best['val_accuracy']:.4f} and loss {phase.best['val_loss']:.4f}" for phase in (first, second)
    )
    why = f"fine-tuning was {'' if better else 'not '}better on eval: {before} before, {after} after"
    classifier.model.set_weights(weights)
    return Result(classifier, (first, second), exported, why, after_head, tuple(frozen_seconds))


def _training_copy(
    classifier: Classifier,
    model: ModelSettings,
    classes: int,
    settings: TrainingSettings,
    strategy: tf.distribute.Strategy | None,
) -> Classifier:
    """Build a copy of the classifier to train, in the strategy's scope and with mixed precision if enabled.

    Its variables are float32. The original is exported, because neither converters nor phones support bfloat16, and
    distributed variables are tied to their strategy.
    """
    policy = "mixed_bfloat16" if settings.mixed_precision else "float32"
    with computing_in(policy), distribution.scope(strategy):
        copy = build_classifier(model, classes, settings.seed, pretrained=False)
    copy.model.set_weights(classifier.model.get_weights())
    return copy


def _parts(
    classifier: Classifier,
    trained: Classifier,
    examples_uri: str,
    data: Datasets,
    model: ModelSettings,
    settings: TrainingSettings,
    folders: Folders,
) -> tuple[Callable[[], _Part], Callable[[], _Part]]:
    """Return functions that build the parts of `trained` that phase 1 and phase 2 train, to call when a phase begins.

    The cache is computed with the weights of `classifier`; phase 1 does not change those of the cached layers.
    """
    if folders.cache is None or not settings.activation_cache.enabled:
        whole = _Part(trained.model, data.train, data.evaluation)
        return lambda: whole, lambda: whole
    outputs = {POOLED: pool(classifier.backbone.output)}
    first_block = ""
    if settings.fine_tune.epochs:
        first_block = unfreeze(trained.backbone, settings.fine_tune.unfreeze).first_block
        frozen, tail = cut_backbone(classifier.backbone, first_block)
        outputs = {CUT: frozen.output, POOLED: pool(tail(frozen.output))}
    used = model.model_dump(mode="json", exclude={"head", "weights"})
    # Random weights are determined by the seed, which is part of the cache key anyway.
    code = code_digest("edgetune.modules.training.cached_features", "edgetune.modules.models.blocks")
    key = {"backbone": used, "weights": weights_digest(model), "code": code}
    network = keras.Model(classifier.backbone.input, outputs)
    features = FrozenFeatures(folders.cache, examples_uri, model.image_size, network, str(key), settings)

    def part(model: keras.Model, kind: str) -> _Part:
        return _Part(model, features.train(kind), features.evaluation(kind))

    def behind_cut() -> _Part:
        _, tail = cut_backbone(trained.backbone, first_block)
        activations = keras.Input(tail.input_shape[1:], name="activations")
        outputs = trained.head(pool(tail(activations)))
        with distribution.scope(distribution.strategy_of(trained.model)):
            behind = keras.Model(activations, outputs, name="behind_cut")
        return part(behind, CUT)

    return lambda: part(trained.head, POOLED), behind_cut
