"""Compare the tutorial's training loop with edgetune's two phases: seconds, accuracy and memory on the same images.

    python -m benchmarks.training.two_phase --data DIR --weights FILE.h5

The loop is that of Keras's transfer learning guide: every epoch decodes, augments and runs the whole network, with
`tf.data` and AUTOTUNE. Ours is what TwoPhaseTrainer runs, including Transform's work of decoding and resizing once.
Both have the same images, splits, weights, seeds, augmentation, epochs (the recipe `tutorial`) and, without `--mixed`,
precision, and neither stops early. Every seed has different splits, so that together they test on more images.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from benchmarks.lib.measure import Memory, cpu_name
from benchmarks.lib.photographs import Photograph, photographs, write_transformed
from edgetune.modules.images import decode
from edgetune.modules.models.blocks import unfreeze
from edgetune.modules.models.classifier import build_classifier
from edgetune.modules.settings.run import (
    ActivationCacheSettings,
    AugmentationSettings,
    FineTuneSettings,
    HeadSettings,
    ModelSettings,
    PhaseSettings,
    TrainingSettings,
)
from edgetune.modules.training.augmentation import augment
from edgetune.modules.training.baselines import accuracy
from edgetune.modules.training.datasets import load_datasets
from edgetune.modules.training.two_phase import Folders, train_two_phases


@dataclass(frozen=True)
class Measured:
    """Measurements of one training."""

    way: str
    seed: int
    head_seconds: float
    """Seconds until the end of phase 1, for ours including preparation and the activation cache."""
    total_seconds: float
    test_accuracy: float
    peak_mb: float
    """Peak of anonymous memory, less what was in use before."""
    parts: dict[str, float]
    """Seconds by part of the training."""


def main() -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photographs as DIR/<class>/*.jpg")
    parser.add_argument("--weights", required=True, metavar="FILE", help="weights of MobileNetV2, or `imagenet`")
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=224, help="image size in pixels; default: %(default)s")
    parser.add_argument("--epochs", type=int, nargs=2, default=(10, 20), metavar=("HEAD", "FINE_TUNE"))
    parser.add_argument("--views", type=int, default=ActivationCacheSettings().views)
    parser.add_argument("--head-views", type=int, default=ActivationCacheSettings().head_views)
    parser.add_argument("--mixed", action="store_true", help="train ours in mixed bfloat16; the loop stays in float32")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds; default: %(default)s")
    parser.add_argument("--ways", nargs="+", choices=("loop", "ours"), default=("loop", "ours"))
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all figures as JSON")
    options = parser.parse_args()

    published = HeadSettings(units=(256, 128), dropout=(0.5, 0.3))
    model = ModelSettings(alpha=options.alpha, image_size=options.size, weights=options.weights, head=published)
    counts = {split: len(part) for split, part in photographs(options.data).items()}
    print(f"{platform.machine()}, {cpu_name()}, {os.cpu_count()} cores, TensorFlow {tf.__version__}; images {counts}")
    measured = []
    head, fine_tune = options.epochs
    for seed in range(1, options.seeds + 1):
        training = _settings(seed, (head, fine_tune), (options.views, options.head_views), options.mixed)
        found = photographs(options.data, turn=seed)
        for way in options.ways:
            keras.backend.clear_session()
            result = (_loop if way == "loop" else _ours)(found, model, training)
            measured.append(result)
            print(json.dumps(asdict(result)), flush=True)
    _summary(measured)
    if options.out:
        options.out.write_text(json.dumps([asdict(result) for result in measured], indent=1) + "\n", encoding="utf-8")


def _settings(seed: int, epochs: tuple[int, int], views: tuple[int, int], mixed: bool) -> TrainingSettings:
    never = 10_000
    head, fine_tune = epochs
    return TrainingSettings(
        recipe="tutorial",
        seed=seed,
        head=PhaseSettings(epochs=head, patience=never),
        fine_tune=FineTuneSettings(epochs=fine_tune, learning_rate=1e-4, patience=never),
        augmentation=AugmentationSettings(flip_horizontal=True, crop=1.0, brightness=0.15, translation=0.05),
        mixed_precision=mixed,
        activation_cache=ActivationCacheSettings(views=views[0], head_views=views[1]),
    )


def _loop(found: dict[str, list[Photograph]], model: ModelSettings, training: TrainingSettings) -> Measured:
    """Train as the tutorial does."""

    def dataset(split: str, train: bool) -> tf.data.Dataset:
        paths, labels = zip(*((str(photo.path), photo.label) for photo in found[split]), strict=True)
        files = tf.data.Dataset.from_tensor_slices((list(paths), list(labels)))
        if train:
            files = files.shuffle(len(paths), training.seed)
        seeds = tf.data.Dataset.random(training.seed, rerandomize_each_iteration=True).batch(2)

        def read(pair: tuple[tf.Tensor, tf.Tensor], seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            image = decode.decode(tf.io.read_file(pair[0]), model.image_size)
            return augment(image, seed, training.augmentation) if train else tf.cast(image, tf.float32), pair[1]

        pairs = tf.data.Dataset.zip((files, seeds)).map(read, num_parallel_calls=tf.data.AUTOTUNE)
        return pairs.batch(training.batch_size).prefetch(tf.data.AUTOTUNE)

    with Memory() as memory:
        started = time.monotonic()
        keras.utils.set_random_seed(training.seed)
        classes = 1 + max(photo.label for photo in found["train"])
        network = build_classifier(model, classes, training.seed)
        train, evaluation = dataset("train", True), dataset("eval", False)
        loss = keras.losses.SparseCategoricalCrossentropy()
        network.backbone.trainable = False
        network.model.compile(keras.optimizers.Adam(training.head.learning_rate), loss, metrics=["accuracy"])
        network.model.fit(train, validation_data=evaluation, epochs=training.head.epochs, verbose=0)
        head = time.monotonic() - started
        unfreeze(network.backbone, training.fine_tune.unfreeze)
        network.model.compile(keras.optimizers.Adam(training.fine_tune.learning_rate), loss, metrics=["accuracy"])
        network.model.fit(train, validation_data=evaluation, epochs=training.fine_tune.epochs, verbose=0)
        total = time.monotonic() - started
    reached = accuracy(network.model, dataset("test", False))
    parts = {"head": head, "fine_tune": total - head}
    return Measured("loop", training.seed, head, total, reached, memory.peak_mb, parts)


def _ours(found: dict[str, list[Photograph]], model: ModelSettings, training: TrainingSettings) -> Measured:
    with tempfile.TemporaryDirectory() as folder, Memory() as memory:
        started = time.monotonic()
        examples = write_transformed(found, model.image_size, Path(folder) / "examples")
        prepared = time.monotonic() - started
        data = load_datasets(examples, model.image_size, training)
        classes = 1 + max(photo.label for photo in found["train"])
        loss = keras.losses.SparseCategoricalCrossentropy()
        folders = Folders(logs=f"{folder}/logs", cache=Path(folder) / "cache")
        result = train_two_phases(examples, data, classes, model, training, loss, folders)
        total = time.monotonic() - started
        reached = accuracy(result.classifier.model, data.test)
    (head, tune), (frozen, rest) = (phase.seconds for phase in result.phases), result.frozen_seconds
    parts = {"prepare": prepared, "frozen": frozen, "head": head, "frozen_rest": rest, "fine_tune": tune}
    return Measured("ours", training.seed, prepared + frozen + head, total, reached, memory.peak_mb, parts)


def _summary(measured: list[Measured]) -> None:
    ways = {way: [m for m in measured if m.way == way] for way in dict.fromkeys(m.way for m in measured)}
    for way, runs in ways.items():
        accuracies = [run.test_accuracy for run in runs]
        print(
            f"{way}: phase 1 {statistics.median(run.head_seconds for run in runs):.1f} s, "
            f"total {statistics.median(run.total_seconds for run in runs):.1f} s, "
            f"test accuracy {np.mean(accuracies):.3f} ({min(accuracies):.3f} to {max(accuracies):.3f}), "
            f"peak {max(run.peak_mb for run in runs):.0f} MB"
        )
    if len(ways) == 2:
        pairs = list(zip(ways["loop"], ways["ours"], strict=True))
        head = statistics.median(loop.head_seconds / ours.head_seconds for loop, ours in pairs)
        total = statistics.median(loop.total_seconds / ours.total_seconds for loop, ours in pairs)
        print(f"ours is {head:.1f} times as fast until the end of phase 1, {total:.1f} times in total (medians)")


if __name__ == "__main__":
    main()
