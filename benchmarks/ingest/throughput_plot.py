"""Plot the results of `benchmarks.ingest.throughput`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from benchmarks.ingest.throughput import Run


def plot(by_way: dict[str, list[Run]], path: Path) -> None:
    """Plot seconds, bytes and memory over the number of images, with a line for each way.

    Args:
        by_way: The runs of each way, by size.
        path: An `.svg` or `.png` file.
    """
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 3), layout="constrained")
        seconds, size, memory = figure.subplots(1, 3)
        for way, runs in by_way.items():
            images = [run.images for run in runs]
            seconds.plot(images, [run.total for run in runs], marker="o", label=way)
            if any(run.kept_bytes for run in runs):
                size.plot(images, [run.kept_bytes / 1e6 for run in runs], marker="o", label=way)
                memory.plot(images, [run.peak_mb for run in runs], marker="o", label=way)
        seconds.set(title="seconds")
        size.set(title="artifacts, MB")
        memory.set(title="peak memory, MB")
        for axes in (seconds, size, memory):
            axes.set(xlabel="images", ylim=(0, None))
            axes.grid(alpha=0.3)
            axes.legend(frameon=False)
        figure.savefig(path)
