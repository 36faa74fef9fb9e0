"""Estimate how long a run takes on this machine, from runs that were measured and from how fast this machine is.

The recorded figures are of docs/scaling.md and docs/results.md: MobileNetV2 1.0 at 224 pixels on photographs of 320
pixels, on two cores of an Intel Xeon, without a GPU. The time is that of all epochs, and early stopping makes it less.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from edgetune.modules.core.threads import cores
from edgetune.modules.settings.run import ModelSettings, RunSettings

_CORES = 2
_DECODE_MS = 0.55
"""Of `decode_ms` on the recorded machine (benchmarks/ingest/inspect_speed.py)."""
_FIXED_S = 80.0
"""Of a run, whatever its number of images: 341 - 4,000 x 0.065 s."""
_READ_MS, _MEASURE_MS = 2.3, 6.9
"""Wall-clock time of an image in ImageExampleGen, and in all other components but the trainer."""
_VIEW_MS, _TUNE_MS = 11.2, 3.6
"""Of an image in the trainer, for each cached view, and for each epoch of phase 2."""
_MULTIPLY_ADDS = {
    "mobilenet": 569, "mobilenet_v2": 300, "mobilenet_v3_small": 56, "mobilenet_v3_large": 219,
    "resnet50": 3_800, "resnet101": 7_600, "inception_v3": 5_700,
    "efficientnet_b0": 390, "efficientnet_b1": 700, "efficientnet_b2": 1_000, "efficientnet_b3": 1_800,
    "efficientnet_b4": 4_200, "efficientnet_b5": 9_900, "efficientnet_b6": 19_000, "efficientnet_b7": 37_000,
    "efficientnet_v2_b0": 720, "efficientnet_v2_b1": 1_200, "efficientnet_v2_b2": 1_700, "efficientnet_v2_b3": 3_000,
}  # fmt: skip
"""Millions for one image of the size that an architecture was published with, from the papers: arXiv:1704.04861,
1801.04381, 1905.02244, 1512.03385, 1512.00567, 1905.11946; those of EfficientNetV2 are counted in Keras's networks."""
_TRY_S = 20.0
"""Of `edgetune suggest`, to build and convert a backbone, whatever the number of images."""


@dataclass(frozen=True)
class Estimate:
    """An estimate, in seconds of wall-clock time; not a measurement."""

    seconds: float
    """Of a whole run with all epochs, from its start to the report."""
    read_seconds: float
    """Of this, reading the images in ImageExampleGen."""
    speed: float
    """How fast this machine decodes a photograph, as a multiple of the recorded machine."""
    cores: int

    def as_json(self) -> dict[str, Any]:
        """Return the values, rounded to what they are worth."""
        return {name: float(f"{value:.2g}") for name, value in asdict(self).items()}


def estimate(images: int, mean_pixels: float, settings: RunSettings) -> Estimate | None:
    """Estimate the time of a run; None if it reads no image.

    Args:
        images: Number of images.
        mean_pixels: Of an image, in the file.
        settings: Of the run.
    """
    training = settings.training
    network = _cost(settings.model)
    if not images:
        return None
    views = training.activation_cache.views if training.activation_cache.enabled else training.head.epochs
    views += settings.data.review_labels  # LabelReviewer passes all images through the network once
    speed = _DECODE_MS / decode_ms()
    parallel = speed * cores() / _CORES
    read = _READ_MS * max(1.0, (mean_pixels / (320 * 240)) ** 0.8)
    rest = _MEASURE_MS + network * (_VIEW_MS * views + _TUNE_MS * training.fine_tune.epochs)
    milliseconds = images * (read + rest) / parallel
    return Estimate(_FIXED_S / speed + milliseconds / 1000, images * read / parallel / 1000, speed, cores())


def estimate_tries(images: int, models: Sequence[ModelSettings]) -> float:
    """Estimate the seconds that `edgetune suggest` takes.

    Args:
        images: Number of images that pass through each backbone.
        models: The backbones.
    """
    speed = _DECODE_MS / decode_ms()
    milliseconds = sum(_cost(model) * _VIEW_MS + _READ_MS for model in models)
    return len(models) * _TRY_S / speed + images * milliseconds / 1000 / (speed * cores() / _CORES)


def _cost(model: ModelSettings) -> float:
    """Return the multiply-adds of a backbone as a multiple of those of MobileNetV2."""
    from edgetune.modules.settings.architectures import ARCHITECTURES

    size = model.image_size / ARCHITECTURES[model.backbone].image_size
    return _MULTIPLY_ADDS[model.backbone] / _MULTIPLY_ADDS["mobilenet_v2"] * size**2 * model.alpha**1.5


def decode_ms() -> float:
    """Return the milliseconds that Pillow takes for a made photograph of 320 x 240 pixels, the best of several."""
    waves = np.sin(np.arange(320 * 240 * 3).reshape(240, 320, 3) / 7.0) * 60
    noise = np.random.default_rng(1).normal(128, 20, (240, 320, 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    best = float("inf")
    for _ in range(20):
        began = time.perf_counter()
        Image.open(io.BytesIO(buffer.getvalue())).load()
        best = min(best, time.perf_counter() - began)
    return 1000 * best
