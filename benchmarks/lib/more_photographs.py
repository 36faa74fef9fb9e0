"""Make any number of photographs from those that exist, or pictures of noise, for benchmarks."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

_QUALITY = 90
_CLASSES = 4
_LEAST_SHARE = 0.6


def more_photographs(folder: Path, images: int, target: Path) -> Path:
    """Write `images` JPEG files of about the size of the originals, `target/<class>/<number>.jpg`.

    The first file made from a photograph is a copy; the others are crops of 60 to 90 % of each side, enlarged to the
    original size, with random mirroring and brightness: different enough not to be near-duplicates.

    Returns:
        `target`.
    """
    originals = sorted(folder.glob("*/*.jpg"))
    for name in {path.parent.name for path in originals}:
        (target / name).mkdir(parents=True)
    # Alternate between the classes, so that any number of files is balanced.
    counts: dict[str, int] = {}
    order = []
    for path in originals:
        counts[path.parent.name] = counts.get(path.parent.name, -1) + 1
        order.append((counts[path.parent.name], path))
    ordered = [path for _, path in sorted(order)]
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(partial(_write, ordered, target), range(images), chunksize=50):
            pass
    return target


def noise_pictures(images: int, target: Path, width: int, height: int) -> Path:
    """Write `images` JPEG files of coarse and fine noise, `target/class<0 to 3>/<number>.jpg`.

    Returns:
        `target`.
    """
    generator = np.random.default_rng(images)
    for number in range(images):
        path = target / f"class{number % _CLASSES}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        noisy = np.asarray(picture, np.int16) + generator.integers(-12, 13, (height, width, 3), dtype=np.int16)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=_QUALITY)
    return target


def _write(originals: list[Path], target: Path, number: int) -> None:
    original = originals[number % len(originals)]
    written = target / original.parent.name / f"{number:07}.jpg"
    if number < len(originals):
        written.write_bytes(original.read_bytes())
        return
    generator = np.random.default_rng(number)
    with Image.open(original) as opened:
        image = opened.convert("RGB")
    share = generator.uniform(_LEAST_SHARE, 0.9)
    width, height = (int(side * share) for side in image.size)
    left = int(generator.integers(0, image.size[0] - width + 1))
    top = int(generator.integers(0, image.size[1] - height + 1))
    image = image.crop((left, top, left + width, top + height)).resize(image.size, Image.Resampling.BICUBIC)
    if generator.random() < 0.5:
        image = ImageOps.mirror(image)
    image = ImageEnhance.Brightness(image).enhance(float(generator.uniform(0.7, 1.3)))
    image.save(written, "JPEG", quality=_QUALITY)
