"""ImageExampleGen and Transform against the raw limit, and against the plain TFX way.

    python -m benchmarks.ingest.throughput --data DIR [--images 500 2000 8000] [--plot FILE.svg] [--out FILE.json]

The raw limit is to decode and resize the same files with all cores, by TensorFlow or by Pillow, whichever is faster,
and to write nothing. The plain way is `benchmarks.lib.plain_tfx`, run at the smallest size only: it holds all images in
memory. Each measurement is a process of its own, whose imports do not count. What a run costs whatever the number of
images is where the line through all sizes meets the axis; it is stated apart, and speeds are those of the line.
Where the folder has fewer photographs, others are made of them. Wall clock means little on a busy machine: seconds of
processor time are told beside it.
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
# So few that nearly all of it is what every run costs.
_FEWEST = 50


@dataclass(frozen=True)
class Run:
    """One way at one size."""

    way: str
    images: int
    seconds: dict[str, float]
    """By part."""
    cpu_seconds: dict[str, float]
    """The same of all threads together."""
    kept_bytes: int
    """In the artifacts."""
    written_bytes: int
    """To the file system, with what is removed at the end."""
    peak_mb: float
    """Anonymous memory at its highest, above what the process had before."""

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Line:
    """Seconds, of the clock or of the processor, as a straight line over the number of images."""

    fixed: float
    """Seconds."""
    each: float
    """Seconds for one image."""
    off: float
    """Largest distance of a measurement from it, as a share of the measurement, at the sizes that were asked for."""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photographs as DIR/<class>/*.jpg")
    parser.add_argument("--images", type=int, nargs="+", default=[500, 2000, 8000])
    parser.add_argument("--side", type=int, metavar="PIXELS", help="enlarge all to a longer side as of a camera: 4032")
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
    with tempfile.TemporaryDirectory() as place:
        folders = _folders(options.data, sizes, Path(place), options.side)
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


def _folders(data: Path, sizes: list[int], place: Path, side: int | None) -> dict[int, Path]:
    """A folder of photographs for each size; the smaller ones hold the first files of the largest."""
    everything = more_photographs(data, sizes[-1], place / str(sizes[-1]))
    files = sorted(everything.glob("*/*.jpg"), key=lambda path: path.name)
    if side:
        with ProcessPoolExecutor() as pool:
            list(pool.map(_enlarge, files, repeat(side), chunksize=10))
    for size in sizes[:-1]:
        for path in files[:size]:
            linked = place / str(size) / path.relative_to(everything)
            linked.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, linked)
    return {size: place / str(size) for size in sizes}


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
    """The least squares through two sizes or more."""
    images = np.array([run.images for run in runs])
    seconds = np.array([sum(run.cpu_seconds.values()) if cpu else run.total for run in runs])
    each, fixed = np.polyfit(images, seconds, 1)
    asked = images > _FEWEST
    off = np.abs(fixed + each * images - seconds)[asked] / seconds[asked]
    return Line(float(fixed), float(each), float(off.max(initial=0.0)))


def _summary(runs: list[Run]) -> None:
    by_way = {way: [run for run in runs if run.way == way] for way in dict.fromkeys(run.way for run in runs)}
    lines = {way: (line(found), line(found, cpu=True)) for way, found in by_way.items()}
    for way, (clock, cpu) in lines.items():
        print(
            f"{way}: {1 / clock.each:,.0f} images/s, and {clock.fixed:.1f} s whatever their number "
            f"({clock.off:.0%} off the line); "
            f"of the processor {1000 * cpu.each:.1f} ms for each and {cpu.fixed:.1f} s"
        )
    if _OURS not in lines:
        return
    for limit in (way for way in _LIMITS if way in lines):
        share, of_cpu = (theirs.each / ours.each for theirs, ours in zip(lines[limit], lines[_OURS], strict=True))
        print(f"ours reaches {share:.2f} of {limit}'s raw limit by the clock, {of_cpu:.2f} by the processor's time")
    if _PLAIN in lines:
        size = by_way[_PLAIN][-1].images
        plain, ours = (next(run for run in by_way[way] if run.images == size) for way in (_PLAIN, _OURS))
        faster, less = (theirs.each / ours.each for theirs, ours in zip(lines[_PLAIN], lines[_OURS], strict=True))
        print(
            f"with {size} images ours keeps {plain.kept_bytes / ours.kept_bytes:.1f} times fewer bytes than plain TFX, "
            f"writes {plain.written_bytes / ours.written_bytes:.1f} times fewer, "
            f"and is {faster:.1f} times as fast by the clock, {less:.1f} times by the processor's time"
        )


if __name__ == "__main__":
    main()
