"""Plot the sizes and colours of the images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from edgetune.pipeline.report import plots


def distributions(statistics: Mapping[str, Mapping[str, Mapping[str, Any]]], names: Mapping[str, str]) -> str:
    """Plot the distribution of each statistic, as shares of the images of each split.

    Args:
        statistics: Numbers by feature and split, with a `histogram` of `[low, high, images]`.
        names: Description of each feature.
    """
    columns = min(4, len(statistics))
    rows = -(-len(statistics) // columns)
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(2.6 * columns, 0.4 + 1.7 * rows), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, (feature, splits) in zip(panels, statistics.items(), strict=False):
            for split, numbers in splits.items():
                buckets = np.array(numbers["histogram"], float).reshape(-1, 3)
                share = buckets[:, 2] / max(buckets[:, 2].sum(), 1)
                edges = np.append(buckets[:, 0], buckets[-1:, 1])
                if len(buckets) and np.isfinite(edges).all():
                    axes.stairs(
                        share, edges, color=plots.SPLIT_COLOURS.get(split, plots.WRONG), label=split, linewidth=1.4
                    )
            axes.set_title(names.get(feature, feature), fontsize=9)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
            axes.yaxis.set_visible(False)
        for axes in panels[len(statistics) :]:
            axes.set_axis_off()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
        return plots.svg(figure, "statistics", "Distribution of sizes and colours in each split")
