"""Measure the overhead of a run: imports, the start of Beam, ML Metadata, tracing, and all outside of components.

    python -m benchmarks.runs.overhead [--baselines] [--runs N] [--out FILE]

The demo is run three times, each in a separate process, and all of that N times: a whole run, the same again from the
cache, and a whole run on a handful of images, ten digits of each class. Baselines are off, which increases the share of
overhead; `--baselines` leaves them as configured. For each component, and for everything outside of components:

imports    loading modules, in the whole run
launcher   driver, ML Metadata and publisher: all of the component outside of its executor, in the whole run
beam       from the construction of the first Beam pipeline to the end of the last run of one, on the handful
other      the rest of the executor, on the handful: building and tracing networks, loading models, child processes

The overhead is the sum of the four; the rest of the component's seconds is work. This is an overestimate: the work on a
handful of images, with all epochs and the measurement of latency, counts as overhead. Two things do not count: writing
the SavedModel, and converting it once the converter's process has started. They do not depend on the number of images
either, but they are the purpose of TwoPhaseTrainer and EdgeExporter; their seconds are shown separately as `model`.
Outside of components, everything from the start of the process to its end is overhead.

Wall-clock seconds mean little on a busy machine; processor seconds, of all threads and of finished child processes,
are affected less. In processor seconds, all of the converter's process including its imports counts as `model`. Figures
are medians.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.lib.measure import cpu_name
from benchmarks.runs.spans import (
    BEAM,
    CLOCKS,
    EXECUTOR,
    IMPORTS,
    LAUNCHER,
    MODEL,
    OUTSIDE,
    REPORT,
    Seconds,
    watched_run,
)

Column = dict[tuple[str, str], float]
"""Seconds by component and kind, by default 0."""

_HANDFUL = 10
_COLUMNS = ("imports", "launcher", "beam", "other")
# What is learned from a handful would not pass the gates, which would end the run before all components have run.
_UNJUDGED = (
    "data.min_examples_per_class=2",
    "evaluation.min_accuracy=0",
    "evaluation.max_regression=1",
    "evaluation.min_test_images=1",
    "evaluation.min_test_images_per_class=0",
    "edge.min_agreement=0",
    "edge.max_accuracy_drop=1",
    "edge.max_class_drop=1",
)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baselines", action="store_true", help="train the baselines too, as configs/demo.yaml says")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="runs of each kind; default: %(default)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--set", action="append", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        watched_run(options.one, options.set, options.out)
        return
    kept = [] if options.baselines else ["training.baselines=[]"]
    runs: dict[str, list[Seconds]] = defaultdict(list)
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            runs["whole"].append(_run(work / "whole", kept))
            runs["cached"].append(_run(work / "whole", kept))
            handful = _handful(work / "whole" / "data" / "digits", work / "handful")
            runs["handful"].append(_run(work / "on_handful", [*kept, f"data.path={handful}", *_UNJUDGED]))
        for kind, figures in runs.items():
            walls = ", ".join(f"{sum(wall for wall, _ in figure.values()):.1f}" for figure in figures)
            print(f"{kind}: {walls} s", file=sys.stderr, flush=True)
    if options.out:
        listed = {kind: [_as_json(seconds) for seconds in figures] for kind, figures in runs.items()}
        options.out.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    print(f"{cpu_name()}; medians of {options.runs}")
    _print_tables({kind: _medians(figures) for kind, figures in runs.items()})


def _run(workdir: Path, settings: list[str]) -> Seconds:
    """Run in a separate process, and count the time that it did not measure itself as outside of components."""
    out = workdir.parent / "figures.json"
    command = [sys.executable, "-m", "benchmarks.runs.overhead", "--one", str(workdir), "--out", str(out)]
    command += [part for setting in settings for part in ("--set", setting)]
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    whole = time.monotonic() - started
    figures: Seconds = defaultdict(lambda: (0.0, 0.0))
    for node, kind, wall, processor in json.loads(out.read_text(encoding="utf-8")):
        figures[node, kind] = wall, processor
    wall, processor = figures[OUTSIDE, LAUNCHER]
    figures[OUTSIDE, LAUNCHER] = wall + whole - sum(wall for wall, _ in figures.values()), processor
    return figures


def _handful(source: Path, target: Path) -> Path:
    for folder in sorted(source.iterdir()):
        (target / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:_HANDFUL]:
            shutil.copy(path, target / folder.name / path.name)
    return target


def _medians(figures: list[Seconds]) -> Seconds:
    medians: Seconds = defaultdict(lambda: (0.0, 0.0))
    for key in dict.fromkeys(key for figure in figures for key in figure):
        wall, processor = (statistics.median(figure[key][clock] for figure in figures) for clock in range(len(CLOCKS)))
        medians[key] = wall, processor
    return medians


def _print_tables(runs: dict[str, Seconds]) -> None:
    for clock, name in enumerate(CLOCKS):
        whole, handful, cached = (
            defaultdict(float, {key: seconds[clock] for key, seconds in runs[kind].items()})
            for kind in ("whole", "handful", "cached")
        )
        nodes = [node for node in dict.fromkeys(node for node, _ in whole) if node != OUTSIDE]
        rows = {node: _component(node, whole, handful) for node in nodes}
        rows[OUTSIDE] = _outside(whole)
        rows["together"] = [sum(column) for column in zip(*rows.values(), strict=True)]
        print(f"\n{name} seconds\n| | all | {' | '.join(_COLUMNS)} | overhead | model |\n|{'-|' * (len(_COLUMNS) + 4)}")
        for row, figures in rows.items():
            print(f"| {row} | {' | '.join(f'{figure:.1f}' for figure in figures)} |")
        total, *_, overhead, model = rows["together"]
        print(f"\noverhead: {overhead:.1f} of {total:.1f} s, {overhead / total:.0%}", end="")
        print(f"; including `model` {(overhead + model) / total:.0%}")
        kinds = dict.fromkeys(kind for _, kind in cached)
        parts = {kind: sum(seconds for (_, of), seconds in cached.items() if of == kind) for kind in kinds}
        listed = ", ".join(f"{kind} {seconds:.1f}" for kind, seconds in parts.items())
        print(f"from the cache: {sum(cached.values()):.1f} s ({listed})")


def _component(node: str, whole: Column, handful: Column) -> list[float]:
    """Return a component's total seconds, those of `_COLUMNS`, their sum, and those of `model`."""
    everything = sum(seconds for (of, _), seconds in whole.items() if of == node)
    parts = [whole[node, IMPORTS], whole[node, LAUNCHER], handful[node, BEAM], handful[node, EXECUTOR]]
    return [everything, *parts, sum(parts), whole[node, MODEL]]


def _outside(whole: Column) -> list[float]:
    """Return the same for what is outside of components, with the report as `other`."""
    parts = [whole[OUTSIDE, IMPORTS], whole[OUTSIDE, LAUNCHER], 0.0, whole[OUTSIDE, REPORT]]
    return [sum(parts), *parts, sum(parts), 0.0]


def _as_json(seconds: Seconds) -> list[list[str | float]]:
    return [[*key, *figures] for key, figures in seconds.items()]


if __name__ == "__main__":
    main()
