"""Pretrain the demo's backbone, MobileNetV2 0.35 at 96 px, on drawn letters and shapes.

    python -m edgetune.weights.pretrain

writes `mobilenet_v2_0.35_96_letters.safetensors` and `pretrain.log` into `--out`. Every epoch uses new drawings. The
first epochs use half the size, where a step takes a third of the time. With the same seed, versions and kind of
processor, the file is identical to the byte.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgetune.modules.core.child_process import hide_gpus
from edgetune.weights.drawings import CLASSES, SIZE, draw

if TYPE_CHECKING:
    import keras

HERE = Path(__file__).resolve().parent
NAME = "mobilenet_v2_0.35_96_letters.safetensors"
ALPHA = 0.35
SEED = 1
HELD_OUT_SEED = 2
HELD_OUT = 4096
BATCH = 64


@dataclass(frozen=True)
class Stage:
    """Epochs at one image size, with a learning rate that rises for a twentieth of the steps, then decays (cosine)."""

    side: int
    epochs: int
    peak_rate: float
    last_rate: float


STAGES = (
    Stage(side=48, epochs=4, peak_rate=3e-3, last_rate=1.5e-3),
    Stage(side=96, epochs=8, peak_rate=2e-3, last_rate=0.0),
)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12288, help="drawings per epoch; default: %(default)s")
    parser.add_argument("--out", type=Path, default=HERE, help="output folder; default: the folder of this script")
    options = parser.parse_args(arguments)
    if options.images < BATCH:
        parser.error(f"--images must be at least {BATCH}")
    pretrain(options.out, options.images)


def drawings(pool: Executor, start: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return drawings `start .. start + count - 1`, shuffled: uint8 `[count, 96, 96, 3]` and labels int64 `[count]`."""
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    labels = np.empty(count, np.int64)
    order = np.random.default_rng((seed, start)).permutation(count)  # the series itself cycles through the classes
    numbers = range(start, start + count)
    for row, (image, label) in zip(order, pool.map(partial(draw, seed=seed), numbers, chunksize=128), strict=True):
        images[row], labels[row] = image, label
    return images, labels


def scaled(images: np.ndarray, side: int) -> np.ndarray:
    """Scale uint8 `[n, 96, 96, 3]` down to uint8 `[n, side, side, 3]` by averaging squares; `side` must divide 96."""
    if side == SIZE:
        return images
    small = np.empty((len(images), side, side, 3), np.uint8)
    for start in range(0, len(images), 512):
        part = images[start : start + 512]
        squares = part.reshape(len(part), side, SIZE // side, side, SIZE // side, 3)
        small[start : start + 512] = squares.mean(axis=(2, 4), dtype=np.float32).astype(np.uint8)
    return small


def pretrain(out: Path, images: int) -> None:
    """Train from random weights with `images` new drawings per epoch, and write the backbone and the log to `out`."""
    hide_gpus()  # they add up in another order
    # Imported here because they are heavy, and the processes that only draw do not need them.
    import keras
    import tensorflow as tf

    from edgetune.modules.models.weights import save_safetensors
    from edgetune.weights.probe import digits_features, digits_pixels, probe

    started = time.monotonic()
    tf.config.experimental.enable_op_determinism()
    # Even with deterministic operations, some of TensorFlow's kernels add up in the order in which threads finish; with
    # one thread there is only one order.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(SEED)
    log: list[str] = []

    def emit(line: str) -> None:
        log.append(line)
        print(line, flush=True)

    emit(f"versions: Python {platform.python_version()}, TensorFlow {tf.__version__}, Keras {keras.__version__}")
    emit(f"classes ({len(CLASSES)}): {' '.join(name.replace(' ', '_') for name in CLASSES)}")
    emit(f"drawings: {images} new ones in every epoch, seed {SEED}; held out {HELD_OUT}, seed {HELD_OUT_SEED}")
    for stage in STAGES:
        rates = f"learning rate {stage.peak_rate} to {stage.last_rate}"
        emit(f"stage: {stage.epochs} epochs at {stage.side} px, batches of {BATCH}, {rates}")

    backbone, model = _network(SIZE)
    accuracies = {"pixels": probe(digits_pixels()), "random backbone": probe(digits_features(backbone))}
    epoch = 0
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        held_out, held_out_labels = drawings(pool, 0, HELD_OUT, HELD_OUT_SEED)
        for stage in STAGES:
            learned = model.get_weights()
            backbone, model = _network(stage.side)
            model.set_weights(learned)
            _compile(model, stage, stage.epochs * -(-images // BATCH))
            for _ in range(stage.epochs):
                fresh, labels = drawings(pool, epoch * images, images, SEED)
                history = model.fit(scaled(fresh, stage.side), labels, BATCH, shuffle=False, verbose=0).history
                _, accuracy = model.evaluate(scaled(held_out, stage.side), held_out_labels, BATCH, verbose=0)
                epoch += 1
                emit(
                    f"epoch {epoch:2d}, {stage.side} px: loss {history['loss'][0]:.4f}, accuracy "
                    f"{history['accuracy'][0]:.4f}, held out {accuracy:.4f}; {time.monotonic() - started:.0f} s"
                )

    out.mkdir(parents=True, exist_ok=True)
    digest = save_safetensors(backbone, out / NAME)
    accuracies["pretrained backbone"] = probe(digits_features(backbone))
    for name, values in accuracies.items():
        each = " ".join(f"{value:.4f}" for value in values)
        emit(f"linear probe on digits, {name}: test accuracy {np.mean(values):.4f} (5 splits: {each})")
    emit(f"{NAME}: {(out / NAME).stat().st_size} bytes, SHA-256 {digest}")
    emit(f"seconds: {time.monotonic() - started:.0f}")
    (out / "pretrain.log").write_text("\n".join(log) + "\n", encoding="utf-8")


def _network(side: int) -> tuple[keras.Model, keras.Model]:
    """Return a new backbone for images of this size, and a classifier of drawings that contains it."""
    import keras

    from edgetune.modules.models.blocks import build_backbone
    from edgetune.modules.settings.run import ModelSettings

    backbone = build_backbone(ModelSettings(alpha=ALPHA, image_size=side, weights="none"))
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.97  # Keras's 0.999 is for ImageNet's many steps: here the initial values would stay
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    return backbone, keras.Model(backbone.input, keras.layers.Dense(len(CLASSES))(pooled))


def _compile(model: keras.Model, stage: Stage, steps: int) -> None:
    import keras

    warmup = max(1, steps // 20)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        steps - warmup,
        alpha=stage.last_rate / stage.peak_rate,
        warmup_target=stage.peak_rate,
        warmup_steps=warmup,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4), loss, metrics=["accuracy"])


if __name__ == "__main__":
    main()
