"""Measure augmentation: images per second on one core, with the defaults, with each change alone, and with all.

    python -m benchmarks.training.augmentation [--size 224] [--images 500]

Images of noise go through `tf.data`, as in the trainer, in a pool of one thread. Seconds are the process's CPU time, so
that other load on the machine hardly matters.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import tensorflow as tf

from benchmarks.lib.measure import cpu_name
from edgetune.modules.settings.run import AugmentationSettings
from edgetune.modules.training.augmentation import augment

_OFF: dict[str, object] = {"flip_horizontal": False, "brightness": 0.0}
_EACH: dict[str, object] = {
    "flip_horizontal": True,
    "flip_vertical": True,
    "quarter_turns": True,
    "rotation": 15.0,
    "crop": 0.5,
    "translation": 0.1,
    "brightness": 0.1,
    "contrast": 0.2,
    "saturation": 0.2,
    "hue": 0.05,
}


def images_per_second(settings: AugmentationSettings, size: int, images: int) -> float:
    """Return the images that one core augments per second of CPU time, without building the graph."""
    pixels = tf.constant(np.random.default_rng(0).integers(0, 256, (8, size, size, 3), dtype=np.uint8))
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    changed = tf.data.Dataset.range(images).map(lambda i: augment(pixels[i % 8], tf.stack([i, i]), settings))
    batches = changed.batch(32).with_options(options)
    list(batches.take(1))
    started = time.process_time()
    for _ in batches:
        pass
    return images / (time.process_time() - started)


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description="Images per second on one core.")
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--images", type=int, default=500, help="images per measurement")
    arguments = parser.parse_args()
    ways = {"nothing": _OFF, "the defaults": {}, "everything": _EACH}
    ways |= {name: {**_OFF, name: value} for name, value in _EACH.items()}
    print(f"{arguments.size} px, TensorFlow {tf.__version__}, one core of {cpu_name()}")
    for name, values in ways.items():
        settings = AugmentationSettings.model_validate(values)
        print(f"{name:16} {images_per_second(settings, arguments.size, arguments.images):6.0f} images/s")


if __name__ == "__main__":
    main()
