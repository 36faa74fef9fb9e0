"""Compare ImageExampleGen and Transform with the raw limit of decoding, and with the plain TFX way.

    python -m benchmarks.ingest.throughput --data DIR [--images 500 2000 8000] [--plot FILE.svg] [--out FILE.json]

The raw limit is decoding and resizing the same files on all cores, with TensorFlow or Pillow, whichever is faster, and
writing nothing. The plain way is `benchmarks.lib.plain_tfx`, run at the smallest size only, as it holds all images in
memory. Each measurement is a separate process, whose imports do not count. A straight line is fitted through all sizes:
its slope gives the speed, and its intercept the fixed cost of a run, which is printed separately. If the folder has too
few photographs, more are made from them. Wall-clock time means little on a busy machine, so processor time is printed
as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.ingest.ways import SIZE, WAYS, measure
from benchmarks.lib.measure import cpu_name
from benchmarks.lib.more_photographs import more_photographs

_OURS, _PLAIN, _LIMITS = "ours", "plain TFX", ("TensorFlow", "Pillow")
# So few images that a run has almost only its fixed cost.
_FEWEST = 50


@dataclass(frozen=True)
class Run:
    """Measurements of one way at one size."""

    way: str
    images: int
    seconds: dict[str, float]
    """Wall-clock seconds by part."""
    cpu_seconds: dict[str, float]
    """Processor seconds of all threads, by part."""
    kept_bytes: int
    """Bytes in the artifacts."""
    written_bytes: int
    """Bytes written to the file system, including files that are removed at the end."""
    peak_mb: float
    """Peak of anonymous memory, less what was in use before."""

    @property
    def total(self) -> float:
        """Wall-clock seconds of all parts."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Line:
    """Wall-clock or processor seconds as a straight line over the number of images."""

    fixed: float
    """Seconds of a run without images."""
    each: float
    """Seconds per image."""
    off: float
    """Largest deviation of a measurement at the requested sizes, relative to the measurement."""


def main() -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photographs as DIR/<class>/*.jpg")
    parser.add_argument("--images", type=int, nargs="+", default=[500, 2000, 8000])
    parser.add_argument(
        "--side", type=int, metavar="PIXELS", help="enlarge the longer side to this, as 4032 of a phone"
    )
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=tuple(WAYS))
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a plot, as .svg or .png")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--one", nargs=3, metavar=("WAY", "DIR", "TARGET"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        way, data, target = options.one
        print(json.dumps(measure(way, Path(data), Path(target))))
        return
    sizes = sorted({_FEWEST, *options.images})
    print(f"{cpu_name()}, {os.cpu_count()} cores; photographs {sizes}, to {SIZE} x {SIZE} pixels", flush=True)
    runs = []
    with tempfile.TemporaryDirectory() as scratch:
        folders = _folders(options.data, sizes, Path(scratch), options.side)
        for way in options.ways:
            for size in sizes if way != _PLAIN else sizes[:2]:
                run = _run(way, size, folders[size])
                runs.append(run)
                print(_row(run), flush=True)
    _summary(runs)
    if options.out:
        options.out.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n", encoding="utf-8")
    if options.plot:
        from benchmarks.ingest.throughput_plot import plot

        plot({way: [run for run in runs if run.way == way] for way in options.ways}, options.plot)


def _folders(data: Path, sizes: list[int], target: Path, side: int | None) -> dict[int, Path]:
    """Make a folder of photographs for each size; the smaller ones contain the first files of the largest."""
    everything = more_photographs(data, sizes[-1], target / str(sizes[-1]))
    files = sorted(everything.glob("*/*.jpg"), key=lambda path: path.name)
    if side:
        with ProcessPoolExecutor() as pool:
            list(pool.map(_enlarge, files, repeat(side), chunksize=10))
    for size in sizes[:-1]:
        for path in files[:size]:
            linked = target / str(size) / path.relative_to(everything)
            linked.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, linked)
    return {size: target / str(size) for size in sizes}


def _enlarge(path: Path, side: int) -> None:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    width, height = (round(length * side / max(image.size)) for length in image.size)
    image.resize((width, height), Image.Resampling.BICUBIC).save(path, "JPEG", quality=90)


def _run(way: str, size: int, data: Path) -> Run:
    with tempfile.TemporaryDirectory() as target:
        command = [sys.executable, "-m", "benchmarks.ingest.throughput", "--data", ".", "--one", way, str(data), target]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{way} with {size} images failed:\n{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Run(way, size, **found)


def _row(run: Run) -> str:
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in run.seconds.items())
    return (
        f"{run.way:<10} {run.images:>6,} images: {parts}; processor {sum(run.cpu_seconds.values()):.1f} s; "
        f"{run.kept_bytes / 1e6:,.0f} MB kept, {run.written_bytes / 1e6:,.0f} MB written; peak {run.peak_mb:,.0f} MB"
    )


def line(runs: list[Run], cpu: bool = False) -> Line:
    """Fit the line of least squares through two or more sizes."""
    images = np.array([run.images for run in runs])
    seconds = np.array([sum(run.cpu_seconds.values()) if cpu else run.total for run in runs])
    each, fixed = np.polyfit(images, seconds, 1)
    requested = images > _FEWEST
    off = np.abs(fixed + each * images - seconds)[requested] / seconds[requested]
    return Line(float(fixed), float(each), float(off.max(initial=0.0)))


def _summary(runs: list[Run]) -> None:
    by_way = {way: [run for run in runs if run.way == way] for way in dict.fromkeys(run.way for run in runs)}
    lines = {way: (line(found), line(found, cpu=True)) for way, found in by_way.items()}
    for way, (clock, cpu) in lines.items():
        print(
            f"{way}: {1 / clock.each:,.0f} images/s, {clock.fixed:.1f} s fixed "
            f"(at most {clock.off:.0%} off the line); "
            f"processor {1000 * cpu.each:.1f} ms/image, {cpu.fixed:.1f} s fixed"
        )
    if _OURS not in lines:
        return
    for limit in (way for way in _LIMITS if way in lines):
        share, of_cpu = (theirs.each / ours.each for theirs, ours in zip(lines[limit], lines[_OURS], strict=True))
        print(f"ours reaches {share:.2f} of {limit}'s raw limit by wall clock, {of_cpu:.2f} by processor time")
    if _PLAIN in lines:
        size = by_way[_PLAIN][-1].images
        plain, ours = (next(run for run in by_way[way] if run.images == size) for way in (_PLAIN, _OURS))
        faster, less = (theirs.each / ours.each for theirs, ours in zip(lines[_PLAIN], lines[_OURS], strict=True))
        print(
            f"with {size} images, plain TFX keeps {plain.kept_bytes / ours.kept_bytes:.1f} times as many bytes as ours "
            f"and writes {plain.written_bytes / ours.written_bytes:.1f} times as many; "
            f"ours is {faster:.1f} times as fast by wall clock, {less:.1f} times by processor time"
        )


if __name__ == "__main__":
    main()
