"""Photographs for tests: two of scikit-learn, scenes that behave like one, and real ones of EDGETUNE_TEST_DATA.

A scene is smooth areas, shapes with sharp edges and texture in several octaves, so that JPEG, resizing, compression
and perceptual hashes treat it as they treat a photograph. What only real photographs can show is a `large` test, which
reads the folder that the environment variable EDGETUNE_TEST_DATA names, and is skipped without it:

| in the folder | what it holds |
|-|-|
| `flowers/<class>/*.jpg` | 5 classes of 140 photographs of many sizes, of TensorFlow's tf_flowers |
| `trashnet/<class>/*.jpg` | 6 classes of 80 photographs, 512 x 384; one image is both in `plastic` and in `glass` |
| `cifar10_tfx/*.tfrecord` | 256 records of TFX's own CIFAR-10 sample |
| `weights/*.h5` | ImageNet weights under the names of Keras applications |
| `nasty/*` | damaged and unusual image files of Pillow's tests and others |
"""

from __future__ import annotations

import io
import os
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

VARIABLE = "EDGETUNE_TEST_DATA"
_SIZES = ((320, 240), (240, 320), (500, 333), (375, 500), (640, 427), (299, 301))


def scene(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """Draw a photograph-like picture: another seed is another motif."""
    rng = np.random.default_rng(seed)
    across, down = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    slopes = rng.uniform(-40, 40, (2, 3)).astype(np.float32)
    pixels = rng.uniform(70, 180, 3).astype(np.float32) + down[:, None, None] * slopes[0] + across[:, None] * slopes[1]
    pixels = np.asarray(_with_shapes(pixels, rng), np.float32)
    for cells, strength in ((3, 45), (6, 30), (12, 18), (30, 10), (80, 6)):
        pixels = pixels + _octave(rng, cells, width, height) * strength
    grain = rng.normal(0, 2, pixels.shape).astype(np.float32)
    return Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))


def _with_shapes(pixels: np.ndarray, rng: np.random.Generator) -> Image.Image:
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(6, 12)):
        x, y = rng.uniform(-0.1, 0.9, 2) * image.size
        box = (x, y, x + rng.uniform(0.08, 0.4) * image.width, y + rng.uniform(0.08, 0.4) * image.height)
        colour = tuple(int(level) for level in rng.integers(20, 236, 3))
        (draw.ellipse if rng.random() < 0.6 else draw.rectangle)(box, fill=colour)
    return image


def _octave(rng: np.random.Generator, cells: int, width: int, height: int) -> np.ndarray:
    """Return noise with that many cells along the width, nearly grey, float32 `[height, width, 3]`."""
    rows = max(2, cells * height // width)
    light, colour = rng.normal(0, 1, (rows, cells, 1)), rng.normal(0, 0.3, (rows, cells, 3))
    planes = (light + colour).astype(np.float32).transpose(2, 0, 1)
    resized = [Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC) for plane in planes]
    return np.stack(resized, axis=-1)


def encoded(image: Image.Image, quality: int = 90) -> bytes:
    """Encode a picture as a camera does: JPEG with subsampled colour."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def shipped() -> list[bytes]:
    """Return the JPEG files of the two real photographs that scikit-learn ships, 640 x 427."""
    folder = resources.files("sklearn.datasets") / "images"
    return [(folder / name).read_bytes() for name in ("china.jpg", "flower.jpg")]


def jpegs(scenes: int = 6) -> list[bytes]:
    """Return the shipped photographs and that many scenes in several sizes, as JPEG files."""
    return [*shipped(), *(encoded(scene(seed, *_SIZES[seed % len(_SIZES)])) for seed in range(scenes))]


def real_data(*parts: str) -> Path:
    """Return a file or folder of EDGETUNE_TEST_DATA, and skip the test where there is none."""
    base = os.environ.get(VARIABLE)
    if not base:
        pytest.skip(f"needs real photographs: {VARIABLE} is not set (see tests/helpers/photographs.py)")
    path = Path(base, *parts)
    if not path.exists():
        pytest.skip(f"{VARIABLE} has no {'/'.join(parts)} (see tests/helpers/photographs.py)")
    return path
