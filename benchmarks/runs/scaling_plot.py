"""Plot the results of `benchmarks.runs.scaling`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from benchmarks.runs.scaling import Sizes

_PANELS = (("cpu_seconds", "processor seconds"), ("output_mb", "artifacts, MB"))
_SHOWN = 0.02


def plot(sizes: Sizes, path: Path) -> None:
    """Plot processor seconds and bytes over the number of images, with the components stacked.

    Args:
        sizes: The measurements.
        path: An `.svg` or `.png` file.
    """
    runs = [{str(cost["node"]): cost for cost in costs} for costs in sizes.values()]
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        for axes, (name, title) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
            rows = {node: [float(run[node][name]) for run in runs] for node in runs[0]}
            together = sum(row[-1] for row in rows.values())
            shown = {node: row for node, row in rows.items() if row[-1] >= _SHOWN * together}
            axes.stackplot(list(sizes), list(shown.values()), labels=list(shown), alpha=0.85)
            axes.set(title=title, xlabel="images", ylim=(0, None), xlim=(min(sizes), max(sizes)))
            axes.grid(alpha=0.3)
            handles, labels = axes.get_legend_handles_labels()
            axes.legend(handles[::-1], labels[::-1], frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        figure.savefig(path)
