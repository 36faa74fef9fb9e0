"""Two-phase transfer learning: a new head on a frozen backbone, then the top of the backbone at a tenth of the rate.

Method: Keras's transfer learning guide (https://keras.io/guides/transfer_learning/): the backbone stays in inference
mode in both phases, and the model is compiled again before fine-tuning. With Keras 3, `training=False` does not do that
(`fit` overrides it): batch normalisation is not trainable, and dropout inside the backbone is stopped.

The frozen part of the network gives the same output in every epoch. With the activation cache it is computed only once:
phase 1 trains the head alone, phase 2 the head and the part of the backbone behind the cut.

With the recipe `auto`, phase 1 solves a linear head (`modules.training.logistic`), and the exported weights lie on the
line from those before fine-tuning to those after it, where `eval` is answered best: Wortsman et al., "Robust
Fine-Tuning of Zero-Shot Models" (CVPR 2022). The beginning of the line is the fixed features, which are exported if
they win. With `tutorial`, the weights after phase 2 are exported.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from edgetune.modules.core import progress
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.keras_defaults import computing_in
from edgetune.modules.examples import shards
from edgetune.modules.models.blocks import cut_backbone, unfreeze
from edgetune.modules.models.classifier import Classifier, build_classifier, pool
from edgetune.modules.models.weights import weights_digest
from edgetune.modules.settings.run import FineTuneSettings, ModelSettings, PhaseSettings, TrainingSettings
from edgetune.modules.training import distribution
from edgetune.modules.training.cached_features import CUT, EVAL, LABEL, POOLED, FrozenFeatures, view
from edgetune.modules.training.datasets import Datasets
from edgetune.modules.training.early_stopping import rank
from edgetune.modules.training.epochs import Epochs
from edgetune.modules.training.logistic import can_solve, solve
from edgetune.modules.training.phase import Phase, run_phase

HEAD, FINE_TUNE = "head", "fine_tune"
SHARES = (0.5, 0.75, 1.0)
"""Parts of the way from the weights before fine-tuning to those after it, of which one is exported."""


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
    share: float
    """How far the exported weights are from those before fine-tuning, 0, to those after it, 1."""
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
    resume = None if folders.resume is None else str(folders.resume)
    frozen_seconds: list[float] = []

    def prepared(since: float) -> None:
        frozen_seconds.append(round(time.monotonic() - since, 2))

    def run(name: str, part: _Part, phase: PhaseSettings | FineTuneSettings, since: float) -> Phase:
        prepared(since)
        logs = f"{folders.logs}/{name}"
        return run_phase(name, part.model, part.train, part.evaluation, loss, phase, logs, resume, settings.recipe)

    with tempfile.TemporaryDirectory(prefix="edgetune-") as temporary:
        parts = _Parts(classifier, trained, examples_uri, data, model, settings, folders, Path(temporary))
        trained.backbone.trainable = False
        if can_solve(model.head, settings, shards.count(examples_uri, "train")):
            views, labels, evaluation = parts.pooled()
            prepared(started)
            first = solve(HEAD, classifier.head, views, labels, evaluation, loss, model.head.l2)
            trained.head.set_weights(distribution.agreed(strategy, classifier.head.get_weights()))
        else:
            first = run(HEAD, parts.head(), settings.head, started)
        after_head = trained.model.get_weights()
        if not settings.fine_tune.epochs:
            classifier.model.set_weights(after_head)
            why = "training.fine_tune.epochs is 0"
            return Result(classifier, (first,), HEAD, why, after_head, 0.0, tuple(frozen_seconds))

        began = time.monotonic()
        unfreeze(trained.backbone, settings.fine_tune.unfreeze)
        second = run(FINE_TUNE, parts.tail(trained), settings.fine_tune, began)
        after = trained.model.get_weights()
        share, why = 1.0, "training.recipe is tutorial"
        if settings.recipe == "auto":
            share, why = _best_share(classifier, parts.tail(classifier), after_head, after, loss)
    classifier.model.set_weights(_between(after_head, after, share))
    exported = FINE_TUNE if share else HEAD
    return Result(classifier, (first, second), exported, why, after_head, share, tuple(frozen_seconds))


def _between(before: list[np.ndarray], after: list[np.ndarray], share: float) -> list[np.ndarray]:
    """Return weights on the line between two; exactly the one or the other at its ends."""
    if share in (0.0, 1.0):
        return after if share else before
    return [one + np.float32(share) * (other - one) for one, other in zip(before, after, strict=True)]


def _best_share(
    classifier: Classifier,
    part: _Part,
    before: list[np.ndarray],
    after: list[np.ndarray],
    loss: keras.losses.Loss,
) -> tuple[float, str]:
    """Return which of `SHARES`, or 0, is best on eval, and why; of equal ones the smallest."""
    progress.report("weighing fine-tuning on eval")
    found = {}
    for share in (0.0, *SHARES):
        classifier.model.set_weights(_between(before, after, share))
        found[share] = _measure(part, loss)
    best = min(found, key=lambda share: rank(found[share]))
    told = {
        share: f"accuracy {values['val_accuracy']:.4f} and loss {values['val_loss']:.4f}"
        for share, values in found.items()
    }
    why = f"fine-tuning was {'' if best else 'not '}better on eval: {told[0.0]} before, {told[1.0]} after"
    return best, why if best in (0.0, 1.0) else f"{why}, {told[best]} with {best:g} of its changes"


def _measure(part: _Part, loss: keras.losses.Loss) -> dict[str, float]:
    part.model.jit_compile = False  # as in `modules.training.phase`
    losses, right = [], []
    for inputs, labels in part.evaluation:
        probabilities = part.model.predict_on_batch(inputs)
        losses.append(np.asarray(loss.call(labels, tf.constant(probabilities))))
        right.append(probabilities.argmax(axis=-1) == labels.numpy())
    return {"val_loss": float(np.concatenate(losses).mean()), "val_accuracy": float(np.concatenate(right).mean())}


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


class _Parts:
    """Builds the part that each phase trains when it begins, or the whole network if there is no activation cache.

    The cache is computed with the weights of `classifier`; phase 1 does not change those of the cached layers.
    """

    def __init__(
        self,
        classifier: Classifier,
        trained: Classifier,
        examples_uri: str,
        data: Datasets,
        model: ModelSettings,
        settings: TrainingSettings,
        folders: Folders,
        temporary: Path,
    ) -> None:
        self._trained, self._data = trained, data
        self._cached = folders.cache is not None and settings.activation_cache.enabled
        self._first_block = ""
        outputs = {POOLED: pool(classifier.backbone.output)}
        if self._cached and settings.fine_tune.epochs:
            self._first_block = unfreeze(trained.backbone, settings.fine_tune.unfreeze).first_block
            frozen, tail = cut_backbone(classifier.backbone, self._first_block)
            outputs = {CUT: frozen.output, POOLED: pool(tail(frozen.output))}
        used = model.model_dump(mode="json", exclude={"head", "weights"})
        # Random weights are determined by the seed, which is part of the cache key anyway.
        code = code_digest("edgetune.modules.training.cached_features", "edgetune.modules.models.blocks")
        key = {"backbone": used, "weights": weights_digest(model), "code": code}
        network = keras.Model(classifier.backbone.input, outputs)
        folder = folders.cache if self._cached and folders.cache is not None else temporary
        self._features = FrozenFeatures(folder, examples_uri, model.image_size, network, str(key), settings)

    def pooled(self) -> tuple[list[np.ndarray], np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Return pooled features of the views of train, their labels, and both of eval."""
        features = self._features
        views = [features.arrays(view(number)) for number in range(features.views[POOLED])]
        evaluation = features.arrays(EVAL)
        return [part[POOLED] for part in views], views[0][LABEL], (evaluation[POOLED], evaluation[LABEL])

    def head(self) -> _Part:
        """Return what phase 1 trains."""
        return self._part(self._trained.head, POOLED) if self._cached else self._whole(self._trained)

    def tail(self, network: Classifier) -> _Part:
        """Return what phase 2 trains, of the network that is trained or of the one that is exported."""
        if not self._cached:
            return self._whole(network)
        _, tail = cut_backbone(network.backbone, self._first_block)
        activations = keras.Input(tail.input_shape[1:], name="activations")
        outputs = network.head(pool(tail(activations)))
        with distribution.scope(distribution.strategy_of(network.model)):
            behind = keras.Model(activations, outputs, name="behind_cut")
        return self._part(behind, CUT)

    def _part(self, model: keras.Model, kind: str) -> _Part:
        return _Part(model, self._features.train(kind), self._features.evaluation(kind))

    def _whole(self, network: Classifier) -> _Part:
        return _Part(network.model, self._data.train, self._data.evaluation)
