"""What a run costs beside its work: imports, the start of Beam, ML Metadata, tracing, and all outside of components.

    python -m benchmarks.runs.overhead [--baselines] [--runs N] [--out FILE]

Three runs of the demo, each in a process of its own, N times in turn: whole, the same again from the cache, and whole
on a handful, ten digits of each class. Baselines are off, which makes the overhead's share larger; `--baselines` leaves
them as configured. Of each component, and of all that is outside of components:

imports    modules loaded, in the whole run
launcher   driver, ML Metadata and publisher: of the component all that is outside of its executor, in the whole run
beam       from the construction of the first Beam pipeline to the end of the last run of one, on the handful
other      the rest of the executor, on the handful: building and tracing networks, loading models, another process

All four together are the overhead, and what is left of the component's seconds is work. It is an overestimate: what
is done to a handful of images counts in full, all epochs over them and the measurement of latency. Two things do not
count: to write the SavedModel, and to convert it once the converter's process is up. Neither depends on the number of
images, but they are what TwoPhaseTrainer and EdgeExporter are for; their seconds stand beside, under `model`.
Outside of components everything is overhead, from the start of the process to its end.

Both clocks are shown: seconds of wall clock mean little on a busy machine, those of the processor, of all threads and
of processes that have ended, suffer less; those of the converter, with its imports, then count as `model`. Figures are
medians.
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
"""Seconds by component and kind; of what there is none, 0."""

_A_HANDFUL = 10
_COLUMNS = ("imports", "launcher", "beam", "other")
# Judging what was learned of a handful would end the run before all components had their turn.
_UNJUDGED = (
    "data.min_examples_per_class=2",
    "evaluation.min_accuracy=0",
    "evaluation.max_regression=1",
    "edge.min_agreement=0",
    "edge.max_accuracy_drop=1",
)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baselines", action="store_true", help="train the baselines too, as configs/demo.yaml says")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="of each kind; default: %(default)s")
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
        with tempfile.TemporaryDirectory() as place:
            work = Path(place)
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
    """A run in a process of its own; what that took beyond what it saw itself is outside of components."""
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
        for path in sorted(folder.iterdir())[:_A_HANDFUL]:
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
        print(f"; with what is done to the model {(overhead + model) / total:.0%}")
        kinds = dict.fromkeys(kind for _, kind in cached)
        parts = {kind: sum(seconds for (_, of), seconds in cached.items() if of == kind) for kind in kinds}
        said = ", ".join(f"{kind} {seconds:.1f}" for kind, seconds in parts.items())
        print(f"from the cache: {sum(cached.values()):.1f} s ({said})")


def _component(node: str, whole: Column, handful: Column) -> list[float]:
    """All seconds, those of `_COLUMNS`, their sum, and what is done to the model."""
    everything = sum(seconds for (of, _), seconds in whole.items() if of == node)
    parts = [whole[node, IMPORTS], whole[node, LAUNCHER], handful[node, BEAM], handful[node, EXECUTOR]]
    return [everything, *parts, sum(parts), whole[node, MODEL]]


def _outside(whole: Column) -> list[float]:
    """The same of what is no component's; the report stands under `other`."""
    parts = [whole[OUTSIDE, IMPORTS], whole[OUTSIDE, LAUNCHER], 0.0, whole[OUTSIDE, REPORT]]
    return [sum(parts), *parts, sum(parts), 0.0]


def _as_json(seconds: Seconds) -> list[list[str | float]]:
    return [[*key, *figures] for key, figures in seconds.items()]


if __name__ == "__main__":
    main()
