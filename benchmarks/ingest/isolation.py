"""Cost of decoding in processes that may die: Pillow in a process of its own, against Pillow in the process that reads.

    python -m benchmarks.ingest.isolation [--images 30]

Processor time of both processes for each image, from made photographs. The last rows have what `data.verify_images`
costs, by which Pillow decodes each JPEG and PNG in such a process before TensorFlow decodes it in that of ingest.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.lib.measure import cpu_name
from edgetune.modules.images import pillow_process, pillow_read
from edgetune.modules.images.reader import read_image
from edgetune.modules.images.reading import Reading

_READING = Reading(max_side=640)
_SIZES = ((640, 480), (4000, 3000))
_KINDS: dict[str, dict[str, Any]] = {"WEBP": {"quality": 85}, "TIFF": {"compression": "tiff_lzw"}, "BMP": {}}
_VERIFIED: dict[str, dict[str, Any]] = {"JPEG": {"quality": 88}, "PNG": {}}


def _photograph(seed: int, size: tuple[int, int]) -> Image.Image:
    """Return smooth areas with the noise of a sensor."""
    rng = np.random.default_rng(seed)
    small = rng.integers(8, 248, (size[1] // 40, size[0] // 40, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BILINEAR))
    return Image.fromarray(smooth + rng.integers(0, 8, smooth.shape, np.uint8))


def _encoded(images: list[Image.Image], kind: str, options: dict[str, Any]) -> list[bytes]:
    files = []
    for image in images:
        file = io.BytesIO()
        image.save(file, kind, **options)
        files.append(file.getvalue())
    return files


def _free(_: int) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


def _cpu() -> float:
    """Return the processor time of this process and of those that decode, in milliseconds."""
    running = [Path(f"/proc/{process.pid}/schedstat").read_text().split()[0] for process in pillow_process._idle]
    return 1000 * time.process_time() + sum(map(int, running)) / 1e6


def _milliseconds(way: Callable[[bytes], object], files: list[bytes]) -> float:
    """Return the processor time for each file, of the faster of two rounds."""
    way(files[0])  # what happens only once
    spent = []
    for _ in range(2):
        began = _cpu()
        for content in files:
            way(content)
        spent.append(_cpu() - began)
    return min(spent) / len(files)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=30, help="default: %(default)s")
    options = parser.parse_args()
    print(f"{cpu_name()}; {options.images} images of each kind, milliseconds of processor time for each")
    pillow_process._idle.append(pillow_process._take())
    print(f"a process starts in {_cpu() - 1000 * time.process_time():.0f} ms")
    for size in _SIZES:
        images = [
            _photograph(seed, size) for seed in range(options.images if size == _SIZES[0] else options.images // 5)
        ]
        for kind, how in _KINDS.items():
            files = _encoded(images, kind, how)
            here, there = (
                _milliseconds(partial(read, reading=_READING, hold=_free), files)
                for read in (pillow_read.pixels, pillow_process.read)
            )
            whole = _milliseconds(partial(read_image, reading=_READING), files)
            print(
                f"{size[0]} x {size[1]} {kind}: pixels {here:.2f} here, {there:.2f} in a process; "
                f"read_image {whole:.2f}, of which {max(0.0, there - here) / whole:.0%} is the process"
            )
    for size in _SIZES:
        images = [
            _photograph(seed, size) for seed in range(options.images if size == _SIZES[0] else options.images // 5)
        ]
        for kind, how in _VERIFIED.items():
            files = _encoded(images, kind, how)
            first = partial(pillow_process.read, reading=_READING, hold=_free, verify=True)
            whole, more = _milliseconds(partial(read_image, reading=_READING), files), _milliseconds(first, files)
            print(f"{size[0]} x {size[1]} {kind}: read_image {whole:.2f}; Pillow first {more:.2f}, {more / whole:.0%}")


if __name__ == "__main__":
    main()
