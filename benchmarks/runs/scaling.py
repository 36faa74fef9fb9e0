"""Measure each component as the data grows: seconds, processor time, memory and bytes, with a fitted straight line.

    python -m benchmarks.runs.scaling --data DIR --config FILE [--set KEY=VALUE ...] [--plot FILE.svg]
    python -m benchmarks.runs.scaling --from FILE.json [--plot FILE.svg]

The whole pipeline is run at each size, in a separate process. If the folder has too few photographs, more are made from
them. The intercept of the line is a component's overhead: imports, the start of Beam, metadata, tracing. Use processor
time for planning: it hardly depends on other load on the machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.lib.measure import Memory, cpu_name
from benchmarks.lib.more_photographs import more_photographs
from benchmarks.runs.scaling_plot import plot

Sizes = dict[int, list[dict[str, float | str]]]
"""`Cost`s by number of images."""

_FIGURES = ("seconds", "cpu_seconds", "peak_mb", "output_mb")
_SIZES_OF_A_LINE = 2
_SHOWN = 0.01
"""Smallest share of the total for which a component has a row in the table."""


@dataclass(frozen=True)
class Cost:
    """Cost of one component at one size."""

    node: str
    seconds: float
    cpu_seconds: float
    """Processor seconds of all threads of this process and of its children."""
    peak_mb: float
    """Peak of anonymous memory, less what was in use when the component began."""
    output_mb: float
    """Size of the component's outputs."""


class Meter:
    """Measures every node of a run."""

    def __init__(self) -> None:
        self.costs: list[Cost] = []
        self._began: tuple[float, float] = (0.0, 0.0)
        self._memory = Memory()

    def started(self, node_id: str) -> None:
        """Start measuring a node."""
        self._memory = Memory().__enter__()
        self._began = (time.monotonic(), _cpu_seconds())

    def finished(self, node_id: str, state: str) -> None:
        """Record the node's cost."""
        seconds, cpu = time.monotonic() - self._began[0], _cpu_seconds() - self._began[1]
        self._memory.__exit__(None, None, None)
        self.costs.append(Cost(node_id, seconds, cpu, self._memory.peak_mb, 0.0))
        print(f"  {node_id} {seconds:.1f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, or read figures, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="photographs as DIR/<class>/*.jpg")
    parser.add_argument("--config", type=Path, metavar="FILE")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--images", type=int, nargs="+", default=[500, 1000, 2000, 4000])
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--from", type=Path, dest="figures", metavar="FILE", help="read the figures from such a file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw processor time and bytes, as .svg or .png")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps([asdict(cost) for cost in _one(options.config, options.set, options.data, options.one)]))
        return
    if options.figures:
        sizes = {
            int(images): costs for images, costs in json.loads(options.figures.read_text(encoding="utf-8")).items()
        }
    elif options.data and options.config:
        sizes = _measured(options)
    else:
        parser.error("--data and --config, or --from, are needed")
    _tables(sizes)
    if options.plot:
        plot(sizes, options.plot)


def _measured(options: argparse.Namespace) -> Sizes:
    print(f"{cpu_name()}; images {options.images}")
    sizes: Sizes = {}
    for images in options.images:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{images} images", file=sys.stderr, flush=True)
            data = more_photographs(options.data, images, Path(folder) / "photographs")
            command = [
                sys.executable,
                "-m",
                "benchmarks.runs.scaling",
                "--data",
                str(data),
                "--config",
                str(options.config),
            ]
            command += [part for setting in options.set for part in ("--set", setting)]
            started = time.monotonic()
            command += ["--one", f"{folder}/work"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            sizes[images] = json.loads(done.stdout.splitlines()[-1])
            whole = time.monotonic() - started
            inside = sum(float(cost["seconds"]) for cost in sizes[images])
            print(f"{images} images: {whole:.0f} s, {whole - inside:.0f} s of it outside of components", flush=True)
            if options.out:  # After each size, so that the figures are kept if a larger one does not finish.
                options.out.write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")
    return sizes


def _one(config: Path, overrides: list[str], data: Path, workdir: Path) -> list[Cost]:
    """Run the pipeline in this process."""
    from tfx.orchestration import metadata

    from edgetune.modules.data.sources import discover
    from edgetune.pipeline.config.load import load
    from edgetune.pipeline.local.observed_runner import IN_PROCESS, run_observed
    from edgetune.pipeline.pipeline import Destinations, create_pipeline

    settings = load(config, overrides, str(data))
    places = Destinations(str(workdir / "root"), str(workdir / "saved_model"), str(workdir / "edge"))
    connection = metadata.sqlite_metadata_connection_config(str(workdir / "metadata.db"))
    flags = [f"--runner={IN_PROCESS}"]
    meter = Meter()
    run_observed(create_pipeline(settings, discover(settings.data), places, connection, flags), meter)
    return [
        Cost(cost.node, cost.seconds, cost.cpu_seconds, cost.peak_mb, _megabytes(Path(places.root) / cost.node))
        for cost in meter.costs
    ]


def _tables(sizes: Sizes) -> None:
    images = np.array(list(sizes), float)
    # By name: the order of components that do not depend on each other can differ.
    runs = [{str(cost["node"]): cost for cost in costs} for costs in sizes.values()]
    for figure in _FIGURES:
        counts = " | ".join(f"{count:,}" for count in sizes)
        print(f"\n{figure}\n| component | {counts} | fixed | per 1,000 images | r2 |")
        print(f"|-|{'-|' * (len(sizes) + 3)}")
        rows = {node: np.array([float(run[node][figure]) for run in runs]) for node in runs[0]}
        together = np.sum(list(rows.values()), axis=0)
        for node, values in rows.items():
            if max(values) >= _SHOWN * max(together):
                print(_row(node, images, values))
        print(_row("all", images, together))


def _row(node: str, images: np.ndarray, values: np.ndarray) -> str:
    """Return a table row with the values, the line of least squares, and the share of variance it explains."""
    slope, fixed = np.polyfit(images, values, 1) if len(images) >= _SIZES_OF_A_LINE else (np.nan, np.nan)
    spread = np.sum((values - values.mean()) ** 2)
    explained = 1 - np.sum((values - slope * images - fixed) ** 2) / spread if spread else np.nan
    cells = " | ".join(f"{value:,.1f}" for value in values)
    return f"| {node} | {cells} | {fixed:.1f} | {1000 * slope:.2f} | {explained:.3f} |"


def _cpu_seconds() -> float:
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main()
