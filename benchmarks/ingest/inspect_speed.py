"""Measure how long `edgetune inspect` takes for a folder of photographs.

    python -m benchmarks.ingest.inspect_speed --images 2000 [--side 320] [--data DIR]

It makes class folders of JPEG files of one size, of the photographs in DIR or of coloured noise, and runs the command
in a process of its own, from its start to its end; the best of three, wall clock and processor seconds. It also prints
the milliseconds of the small decode by which the command compares a machine with the recorded one.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from benchmarks.lib.measure import cpu_name
from edgetune.pipeline.inspect.estimate import decode_ms

_CLASSES = 5
_ROUNDS = 3


def _fill(base: Path, images: int, side: int, photographs: list[Path]) -> None:
    size = (side, side * 3 // 4)
    random = np.random.default_rng(1)
    for number in range(images):
        if photographs:
            with Image.open(photographs[number % len(photographs)]) as opened:
                image = ImageOps.fit(opened.convert("RGB"), size, centering=tuple(random.random(2)))
        else:
            noise = random.integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
            image = Image.fromarray(noise).resize(size).filter(ImageFilter.SHARPEN)
        folder = base / f"class{number % _CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{number:06}.jpg", quality=90)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    photographs = sorted(options.data.rglob("*.jpg")) if options.data else []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "photos"
        _fill(base, options.images, options.side, photographs)
        walls, processor = [], []
        for _ in range(_ROUNDS):
            began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "edgetune", "inspect", str(base)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            walls.append(time.perf_counter() - began)
            now = resource.getrusage(resource.RUSAGE_CHILDREN)
            processor.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
    print(f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores, small decode {decode_ms():.2f} ms")
    rounds = [round(wall, 1) for wall in walls]
    print(
        f"{options.images:,} files of {options.side} pixels: {min(walls):.1f} s, {min(processor):.1f} s of processor "
        f"({1000 * min(processor) / options.images:.2f} ms a file with the start); rounds {rounds}"
    )


if __name__ == "__main__":
    main()
