"""Measure the cost of the activation cache as the data grows: seconds, bytes and memory.

    python -m benchmarks.training.cache_growth --data DIR --weights FILE.h5

If the folder has too few images, they are repeated with different augmentation. The output is a table and, with
`--plot`, a plot of it.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras
import matplotlib
import tensorflow as tf
from matplotlib.figure import Figure

from benchmarks.lib.measure import Memory, cpu_name
from benchmarks.lib.photographs import photographs, write_transformed
from edgetune.modules.settings.run import (
    ActivationCacheSettings,
    FineTuneSettings,
    ModelSettings,
    PhaseSettings,
    TrainingSettings,
)
from edgetune.modules.training.datasets import load_datasets
from edgetune.modules.training.two_phase import Folders, train_two_phases

_EPOCHS = 3


@dataclass(frozen=True)
class Row:
    """Measurements at one size."""

    images: int
    frozen_seconds: float
    """Seconds to compute the cache."""
    head_seconds: float
    """Seconds per epoch of phase 1."""
    tune_seconds: float
    """Seconds per epoch of phase 2."""
    cache_mb: float
    peak_mb: float
    """Peak of anonymous memory, less what was in use before."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photographs as DIR/<class>/*.jpg")
    parser.add_argument("--weights", required=True, metavar="FILE", help="weights of MobileNetV2 1.0")
    parser.add_argument("--images", type=int, nargs="+", default=(500, 2000, 8000))
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a plot, as .svg or .png")
    options = parser.parse_args()
    print(f"{cpu_name()}, TensorFlow {tf.__version__}, {ActivationCacheSettings().views} views of each image")
    print("| images | cache, s | phase 1, s/epoch | phase 2, s/epoch | cache, MB | peak memory, MB |")
    print("|-|-|-|-|-|-|")
    rows = []
    for images in options.images:
        row = _measure(options.data, options.weights, images)
        rows.append(row)
        print(
            f"| {row.images:,} | {row.frozen_seconds:.1f} | {row.head_seconds:.2f} | {row.tune_seconds:.1f} "
            f"| {row.cache_mb:,.0f} | {row.peak_mb:,.0f} |",
            flush=True,
        )
    if options.plot:
        _plot(rows, options.plot)


def _measure(photos: Path, weights: str, images: int) -> Row:
    keras.backend.clear_session()
    found = photographs(photos)
    # Only the train split grows; the others stay as they are.
    train = (found["train"] * (1 + images // len(found["train"])))[:images]
    model = ModelSettings(weights=weights, image_size=224)
    training = TrainingSettings(
        head=PhaseSettings(epochs=_EPOCHS, patience=_EPOCHS),
        fine_tune=FineTuneSettings(epochs=_EPOCHS, patience=_EPOCHS),
    )
    with tempfile.TemporaryDirectory() as folder:
        examples = write_transformed({**found, "train": train}, model.image_size, Path(folder) / "examples")
        data = load_datasets(examples, model.image_size, training)
        folders = Folders(logs=f"{folder}/logs", cache=Path(folder) / "cache")
        with Memory() as memory:
            loss = keras.losses.SparseCategoricalCrossentropy()
            result = train_two_phases(examples, data, 1 + max(p.label for p in train), model, training, loss, folders)
        size = sum(path.stat().st_size for path in (Path(folder) / "cache").rglob("*") if path.is_file())
    head, tune = (phase.seconds / _EPOCHS for phase in result.phases)
    return Row(images, sum(result.frozen_seconds), head, tune, size / 1e6, memory.peak_mb)


def _plot(rows: list[Row], path: Path) -> None:
    images = [row.images for row in rows]
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 3), layout="constrained")
        seconds, size, memory = figure.subplots(1, 3)
        for values, name in (
            ([row.frozen_seconds for row in rows], "cache, once"),
            ([row.tune_seconds for row in rows], "phase 2, each epoch"),
            ([row.head_seconds for row in rows], "phase 1, each epoch"),
        ):
            seconds.loglog(images, values, marker="o", label=name)
        seconds.legend(frameon=False)
        seconds.set(title="seconds")
        size.loglog(images, [row.cache_mb for row in rows], marker="o")
        size.set(title="cache on disk, MB")
        memory.plot(images, [row.peak_mb for row in rows], marker="o")
        memory.set(title="peak memory, MB", ylim=(0, None))
        for axes in (seconds, size, memory):
            axes.set_xlabel("images")
            axes.grid(alpha=0.3)
        figure.savefig(path)


if __name__ == "__main__":
    main()
