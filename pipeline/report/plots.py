"""Draw the report's plots as SVG text to embed in the page.

Plots use the page's colours and font: matplotlib draws with placeholder colours, which are replaced by CSS variables of
the page, so that a plot is readable on light and dark backgrounds. Class names are untrusted input: of any length, in
any script, with markup or mathematics.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

# CSS by placeholder colour.
_CSS = {
    "#010101": "currentColor",
    "#020202": "var(--line)",
    "#a10001": "var(--train)",
    "#a20002": "var(--eval)",
    "#a30003": "var(--test)",
    "#a40004": "var(--wrong)",
}
INK, LINE, TRAIN, EVAL, TEST, WRONG = _CSS
SPLIT_COLOURS = {"train": TRAIN, "eval": EVAL, "test": TEST}
STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "grid.color": LINE,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
MAX_BARS = 40
"""Largest number of classes in the plot of the data."""
MAX_NAMED = 60
"""Largest number of classes that the confusion matrix names."""
_MAX_COUNTED = 24
_MAX_NAME = 28
_SHADES = 20


def split_counts(splits: Mapping[str, Mapping[str, int]]) -> str:
    """Plot the images of each class as a bar, stacked by split; at most the `MAX_BARS` smallest classes."""
    totals: dict[str, int] = {}
    for counts in splits.values():
        for name, count in counts.items():
            totals[name] = totals.get(name, 0) + count
    names = sorted(sorted(totals, key=lambda name: (totals[name], name))[:MAX_BARS])
    rows = np.arange(len(names))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.9 + 0.24 * len(names)), layout="constrained")
        axes = figure.subplots()
        left = np.zeros(len(names))
        for split, counts in splits.items():
            widths = np.array([counts.get(name, 0) for name in names])
            label = f"{split} ({sum(counts.values()):,})"
            axes.barh(rows, widths, left=left, color=SPLIT_COLOURS.get(split, WRONG), label=label, height=0.72)
            left += widths
        for row, total in enumerate(left):
            # Offset in points: SVG would drop a leading space.
            axes.annotate(f"{total:,.0f}", (total, row), (3, 0), textcoords="offset points", va="center")
        axes.set_yticks(rows, [_short(name) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0, max([1.0, *left]) * 1.06)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        if len(names) < len(totals):
            axes.set_title(f"the {len(names)} smallest of {len(totals):,} classes")
        figure.legend(loc="outside upper left", ncols=len(splits))
        return svg(figure, "counts", "Images of each class in each split")


def training_curves(phases: Sequence[Mapping[str, Any]]) -> str:
    """Plot loss, accuracy and learning rate over the epochs of all phases, with the border between the phases."""
    ends = np.cumsum([len(phase["epochs"]) for phase in phases])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 3.1), layout="constrained")
        loss, accuracy, rate = figure.subplots(1, 3, width_ratios=[5, 5, 3])
        for axes, key in ((loss, "loss"), (accuracy, "accuracy")):
            for prefix, name, colour in (("", "train", TRAIN), ("val_", "eval", EVAL)):
                steps, values = _line(phases, prefix + key)
                axes.plot(steps, values, color=colour, label=name, linewidth=1.8, marker="o", markersize=2.5)
            axes.set_title(key)
        steps, rates = _line(phases, "learning_rate")
        rate.plot(steps, rates, color=INK, alpha=0.7, linewidth=1.8, drawstyle="steps-mid", marker="o", markersize=2.5)
        if np.any(rates > 0):
            rate.set_yscale("log")
            rate.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            rate.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            rate.yaxis.set_minor_formatter(NullFormatter())
        rate.set_title("learning rate")
        for axes in (loss, accuracy, rate):
            axes.grid(axis="y", linewidth=0.6)
            axes.set_xlim(0.5, ends[-1] + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
            axes.set_xlabel("epoch")
            for border in ends[:-1]:
                axes.axvline(border + 0.5, color=INK, linewidth=0.9, linestyle=(0, (3, 3)), alpha=0.6)
        _name_phases(loss, phases)
        _mark_best(accuracy, phases)
        figure.legend(*loss.get_legend_handles_labels(), loc="outside upper right", ncols=2)
        return svg(figure, "curves", "Loss, accuracy and learning rate over the epochs")


def reliability(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Plot the share of right answers and of images in each bin of the probability, before and after the temperature.

    Each diagram is its `ece` and a `reliability` of bins with `images`, `confidence` and `accuracy`.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 4.2), layout="constrained")
        rows = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=[4, 1])
        for name, diagram, (shares, counts) in zip(("before", "after"), (before, after), rows.T, strict=True):
            bins = diagram["reliability"]
            edges = np.linspace(0, 1, len(bins) + 1)
            images = np.array([row["images"] for row in bins], float)
            accuracy = np.array([row["accuracy"] or 0.0 for row in bins])
            shares.stairs(accuracy, edges, fill=True, color=TEST, alpha=0.35, linewidth=0)
            used = [row for row in bins if row["images"]]
            where = [row["confidence"] for row in used], [row["accuracy"] for row in used]
            shares.plot(*where, color=TEST, linewidth=0, marker="o", markersize=4)
            shares.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=(0, (3, 3)), alpha=0.6)
            shares.set(xlim=(0, 1), ylim=(0, 1.02))
            shares.set_title(f"{name}: ECE {diagram['ece']:.3f}")
            counts.stairs(images / max(images.sum(), 1), edges, fill=True, color=INK, alpha=0.3, linewidth=0)
            counts.set_xlabel("probability of the answer")
        rows[0, 0].set_ylabel("right answers")
        rows[1, 0].set_ylabel("images")
        return svg(figure, "reliability", "Right answers by probability, before and after the temperature")


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]], shares: bool = False) -> str:
    """Plot the confusion matrix, shaded by the share of the true class.

    Args:
        labels: Class names.
        counts: `[C][C]`, rows are true classes.
        shares: Write percents of the true class into the cells and not counts.
    """
    size, matrix = len(labels), np.asarray(counts)
    of_row = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shade = np.ceil(_SHADES * of_row).astype(int)
    diagonal = np.eye(size, dtype=bool)
    with matplotlib.rc_context(STYLE):
        side = min(9.0, 2.2 + 0.42 * size)
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        for colour, where in ((TRAIN, diagonal), (WRONG, ~diagonal)):
            # One path for each shade instead of each cell, since 300 classes have 90,000 cells. Opacity instead of a
            # colour map works on every background; it stays below 0.6 so that the counts are readable.
            for level in range(1, _SHADES + 1):
                cells = np.argwhere((shade == level) & where)
                if len(cells):
                    alpha = 0.12 + 0.43 * level / _SHADES
                    axes.add_patch(PathPatch(_squares(cells), facecolor=colour, alpha=alpha, linewidth=0))
        if size <= _MAX_COUNTED:
            for row, column in np.argwhere(matrix):
                text = f"{100 * of_row[row, column]:.0f}" if shares else f"{matrix[row, column]}"
                axes.text(column, row, text, ha="center", va="center", fontsize=8)
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal", xlabel="predicted", ylabel="true")
        names = [_short(label) for label in labels] if size <= MAX_NAMED else []
        axes.set_xticks(range(len(names)), names, rotation=90 if any(len(name) > 3 for name in names) else 0)
        axes.set_yticks(range(len(names)), names)
        for spine in axes.spines.values():
            spine.set_visible(True)
        name, what = ("shares", "percents of the true class") if shares else ("confusion", "images")
        return svg(figure, name, f"Confusion matrix of the test split: {what}")


def is_counted(labels: Sequence[str]) -> bool:
    """Return whether the confusion matrix of so few classes has numbers in its cells."""
    return len(labels) <= _MAX_COUNTED


def coverage(points: Sequence[Mapping[str, float]]) -> str:
    """Plot precision by coverage, each at a threshold of the probability."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 3.2), layout="constrained")
        axes = figure.subplots()
        shares, precision, thresholds = (
            [point[key] for point in points] for key in ("coverage", "precision", "threshold")
        )
        axes.plot(shares, precision, color=TEST, linewidth=1.8, label="precision")
        axes.plot(shares, thresholds, color=INK, linewidth=1.2, alpha=0.6, linestyle=(0, (3, 3)), label="threshold")
        axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="coverage: share of images that get an answer")
        axes.grid(axis="y", linewidth=0.6)
        figure.legend(loc="outside upper left", ncols=2)
        return svg(figure, "coverage", "Precision and threshold by coverage")


def timeline(trainings: Sequence[Mapping[str, Any]]) -> str:
    """Plot the accuracy on eval over the time of training, and that on test at its end, of the model and its baselines.

    Args:
        trainings: `name`, `seconds`, `eval_accuracy` of each epoch, and `test_accuracy` or None.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 3.2), layout="constrained")
        axes = figure.subplots()
        colours = (TRAIN, EVAL, TEST, WRONG)
        for training, colour in zip(trainings, itertools.cycle(colours), strict=False):
            accuracy = np.array([np.nan if value is None else value for value in training["eval_accuracy"]], float)
            steps = training["seconds"] * np.arange(1, len(accuracy) + 1) / max(len(accuracy), 1)
            axes.plot(steps, accuracy, color=colour, linewidth=1.8, marker="o", markersize=2.5, label=training["name"])
            if training["test_accuracy"] is not None:
                axes.plot(training["seconds"], training["test_accuracy"], color=colour, marker="D", markersize=7)
        axes.set(ylim=(0, 1.02), xlabel="seconds of training", ylabel="accuracy")
        axes.set_xlim(left=0)
        axes.grid(axis="y", linewidth=0.6)
        figure.legend(loc="outside upper left", ncols=len(trainings))
        return svg(figure, "timeline", "Accuracy over the time of training")


def variants(found: Sequence[Mapping[str, Any]]) -> str:
    """Plot accuracy by size of the edge variants; the area of a circle is the latency.

    Args:
        found: `name`, `accuracy`, `bytes` and `milliseconds` or None.
    """
    slowest = max([one["milliseconds"] or 0.0 for one in found], default=0.0) or 1.0
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 3), layout="constrained")
        axes = figure.subplots()
        for one in found:
            area = 40 + 500 * (one["milliseconds"] or 0.0) / slowest
            size = one["bytes"] / 1e6
            axes.scatter([size], [one["accuracy"]], s=area, color=TRAIN, alpha=0.45, linewidths=0)
            speed = "" if one["milliseconds"] is None else f", {one['milliseconds']:.3g} ms"
            where = (size, one["accuracy"])
            axes.annotate(f"{one['name']}{speed}", where, (0, -22), textcoords="offset points", ha="center", va="top")
        least = min(one["accuracy"] for one in found)
        axes.set(ylim=(max(0.0, least - 0.15), 1.02), xlabel="size, MB", ylabel="accuracy on test")
        axes.set_xlim(0, 1.2 * max(one["bytes"] for one in found) / 1e6)
        axes.grid(linewidth=0.6)
        return svg(figure, "variants", "Accuracy, size and latency of the edge variants")


def _squares(cells: np.ndarray) -> Path:
    """Return a single path with a square around each `(row, column)`."""
    corners = 0.46 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
    vertices = cells[:, None, ::-1] + corners
    return Path(vertices.reshape(-1, 2), [Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY] * len(cells))


def _name_phases(axes: Axes, phases: Sequence[Mapping[str, Any]]) -> None:
    start = 0
    for phase in phases:
        if length := len(phase["epochs"]):
            where = (start + (length + 1) / 2, 0.98)
            name = phase["name"].replace("_", "-")
            axes.text(*where, name, transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=8)
            start += length


def _mark_best(axes: Axes, phases: Sequence[Mapping[str, Any]]) -> None:
    start = 0
    for phase in phases:
        best, values = phase.get("best_epoch"), _values(phase["epochs"], "val_accuracy")
        if best is not None and 0 <= best < len(values):
            axes.plot(start + best + 1, values[best], marker="o", markersize=8, fillstyle="none", color=INK, zorder=5)
        start += len(values)


def _line(phases: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return epochs, counted from 1, and values, with a gap between phases, whose curves need not be continuous."""
    steps: list[float] = []
    values: list[float] = []
    start = 1
    for phase in phases:
        length = len(phase["epochs"])
        steps += [*range(start, start + length), np.nan]
        values += [*_values(phase["epochs"], key), np.nan]
        start += length
    return np.array(steps), np.array(values)


def _values(epochs: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    return np.array([np.nan if epoch.get(key) is None else epoch[key] for epoch in epochs], float)


def _short(name: str) -> str:
    name = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"


def svg(figure: Figure, name: str, description: str) -> str:
    """Return the figure as an `<svg>` element; its ids begin with `name`, so that a page can hold several."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # Warnings about glyphs missing in matplotlib's font and lack of room for names: the browser draws the text.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(text, format="svg", transparent=True)
    svg = text.getvalue()
    # HTML needs no namespaces, and a <style> in here would apply to the whole page.
    svg = re.sub(r"(?s)<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg[svg.index("<svg") :])
    # Only inside tags, in which matplotlib escapes `<` and `>`: class names are text outside tags and stay unchanged.
    svg = re.sub(r"<[^>]*>", lambda tag: _adapt_tag(tag.group(), name), svg)
    return svg.replace("<svg ", f'<svg class="plot" role="img" aria-label="{description}" ', 1)


def _adapt_tag(tag: str, name: str) -> str:
    for placeholder, css in _CSS.items():
        tag = tag.replace(placeholder, css)
    # A precision of 0.01 points is enough, and halves the size of a page with many classes.
    tag = re.sub(r"(\.\d\d)\d+", r"\1", tag)
    tag = re.sub(r' xmlns(:\w+)?="[^"]*"', "", tag)
    tag = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", tag)
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'\bxlink:href="#', f'href="#{name}-', tag)
    return tag.replace("url(#", f"url(#{name}-")
