"""Draw the measured backbones: accuracy against latency, with the size as the area of each point."""

from __future__ import annotations

from pathlib import Path

from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline.report.words import size
from edgetune.pipeline.suggest.choice import not_dominated
from edgetune.pipeline.suggest.suggestion import Suggestion

_ENDINGS = (".png", ".svg")
_FRONT, _OTHER, _LIMIT = "#00796b", "#9e9e9e", "#c62828"


def check_path(path: Path) -> None:
    """Check that a plot can be written to a file, before anything is measured.

    Raises:
        ConfigError: The ending is not one of a format that is drawn, or the folder does not exist.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise ConfigError(f"--plot {path}: is not a file of a known format", f"end it in {' or '.join(_ENDINGS)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--plot {path}: its folder does not exist", "make the folder, or name another file")


def draw(found: Suggestion, path: Path) -> None:
    """Write the plot; candidates whose accuracy was not measured are not in it.

    Args:
        found: The suggestion.
        path: File that ends in `.png` or `.svg`.
    """
    import matplotlib
    from matplotlib.figure import Figure

    rows = [row for row, candidate in enumerate(found.candidates) if candidate.correct is not None]
    fronts = not_dominated(found.candidates)
    # Nothing that differs between two drawings of the same, such as a date.
    with matplotlib.rc_context({"text.parse_math": False, "svg.hashsalt": "edgetune", "font.size": 9}):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for row in rows:
            candidate = found.candidates[row]
            assert candidate.accuracy is not None and candidate.interval is not None
            low, high = candidate.interval
            colour = _FRONT if fronts[row] else _OTHER
            axes.plot([candidate.ms] * 2, [100 * low, 100 * high], color=colour, linewidth=1, alpha=0.5)
            picked = found.pick is not None and found.pick.row == row
            axes.scatter(
                candidate.ms, 100 * candidate.accuracy, 25 * candidate.bytes / 1e6, colour,
                edgecolors="black" if picked else "none", linewidths=2, zorder=3,
            )  # fmt: skip
            label = f"{candidate.name}, {size(candidate.bytes)}{' (pick)' if picked else ''}"
            axes.annotate(label, (candidate.ms, 100 * candidate.accuracy), (6, 5), textcoords="offset points")
        front = sorted(
            (found.candidates[row].ms, 100 * (found.candidates[row].accuracy or 0)) for row in rows if fronts[row]
        )
        axes.plot(*zip(*front, strict=True), color=_FRONT, linestyle="dotted")
        if found.limits.max_ms is not None:
            axes.axvline(found.limits.max_ms, color=_LIMIT, linewidth=1, label=f"--max-ms {found.limits.max_ms:g}")
            axes.legend()
        axes.set_xscale("log")
        axes.margins(x=0.35)
        axes.set_xlabel(f"latency of {found.variant}, ms ({found.cpu}, {found.threads} thread)")
        axes.set_ylabel(f"accuracy on {found.images:,} images, %")
        axes.spines[["top", "right"]].set_visible(False)
        is_svg = path.suffix.lower() == ".svg"
        figure.savefig(path, dpi=150, metadata={"Date": None} if is_svg else None)
