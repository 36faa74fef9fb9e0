"""Measure how much memory Beam's own runner needs per image in the components that shuffle facts of every image.

    python -m benchmarks.ingest.shuffle_memory [--images 16000 48000] [--distance 12]

The pictures have 64 pixels a side, so that pixels do not matter. Each component runs in a separate process, because it
could otherwise reuse memory that an earlier one has freed. The memory per image is the slope between two sizes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tfx.components.statistics_gen.component import StatisticsGen
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline

from benchmarks.lib.measure import Memory, cpu_name
from benchmarks.lib.more_photographs import noise_pictures
from edgetune.components.curated_schema.component import CuratedSchema
from edgetune.components.image_example_gen import ImageExampleGen
from edgetune.modules.data.sources import discover
from edgetune.modules.settings.execution import BeamSettings
from edgetune.modules.settings.run import DataSettings
from edgetune.pipeline.beam.flags import beam_flags
from edgetune.pipeline.local.observed_runner import run_observed
from edgetune.pipeline.pipeline import SCHEMA
from edgetune.pipeline.terminal.console import State

_MEASURED = ("ImageExampleGen", "StatisticsGen")
_PIXELS = 64


class Meter:
    """Measures the seconds and the peak memory of one component."""

    seconds = peak_mb = 0.0

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id

    def started(self, node_id: str) -> None:
        """Start measuring if this is the node."""
        if node_id == self._node_id:
            self._memory, self._began = Memory().__enter__(), time.monotonic()

    def finished(self, node_id: str, state: State) -> None:
        """Record the figures if this is the node."""
        if node_id == self._node_id:
            self._memory.__exit__(None, None, None)
            self.seconds, self.peak_mb = time.monotonic() - self._began, self._memory.peak_mb


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[16_000, 48_000], help="default: %(default)s")
    parser.add_argument("--distance", type=int, default=12, help="data.duplicate_distance; default: %(default)s")
    options = parser.parse_args()
    print(f"{cpu_name()}; data.duplicate_distance: {options.distance}")
    print("| images | component | seconds | MB |\n|-|-|-|-|")
    for images in options.images:
        with tempfile.TemporaryDirectory() as folder:
            noise_pictures(images, Path(folder) / "pictures", _PIXELS, _PIXELS)
            for node_id in _MEASURED:  # in the second run, ImageExampleGen's output comes from the cache
                with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    seconds, peak = pool.submit(_measure, node_id, Path(folder), options.distance).result()
                print(f"| {images:,} | {node_id} | {seconds:.1f} | {peak:,.0f} |", flush=True)


def _measure(node_id: str, folder: Path, distance: int) -> tuple[float, float]:
    settings = DataSettings(path=str(folder / "pictures"), duplicate_distance=distance)
    example_gen = ImageExampleGen(discover(settings), settings)
    schema_gen = CuratedSchema(SCHEMA).with_id("ImportSchemaGen")
    statistics_gen = StatisticsGen(examples=example_gen.outputs["examples"], schema=schema_gen.outputs["schema"])
    meter = Meter(node_id)
    run_observed(
        Pipeline(
            pipeline_name="shuffled",
            pipeline_root=str(folder / "root"),
            components=[example_gen] if node_id == example_gen.id else [example_gen, schema_gen, statistics_gen],
            enable_cache=True,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(folder / "metadata.db")),
            beam_pipeline_args=beam_flags(BeamSettings(workers=1)),
        ),
        meter,
    )
    return meter.seconds, meter.peak_mb


if __name__ == "__main__":
    main()
