"""Measure from how many images on more Beam workers on one machine make the data components faster.

    python -m benchmarks.ingest.beam_workers [--data DIR] [--images 200 1000 4000] [--workers 1 2]

For each number of images, the three components that read every image are run with each number of workers. Each worker
is a process that imports TensorFlow first, for every Beam pipeline again. Besides wall-clock seconds, which mean little
on a busy machine, the processor time of all processes together is printed.

`DIR` is a folder of photographs, `DIR/<class>/*.jpg`; if it has too few, more are made from them. Without it, pictures
of 640 x 480 pixels are made from noise.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import tempfile
import time
from pathlib import Path

import apache_beam
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import transform_pb2

from benchmarks.lib.measure import cpu_name
from benchmarks.lib.more_photographs import more_photographs, noise_pictures
from edgetune.components.curated_schema.component import CuratedSchema
from edgetune.components.image_example_gen import ImageExampleGen
from edgetune.components.transform import Transform
from edgetune.modules.contracts.example_features import SPLITS
from edgetune.modules.data.sources import discover
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.execution import BeamSettings
from edgetune.modules.settings.run import DataSettings
from edgetune.pipeline.beam.flags import beam_flags
from edgetune.pipeline.local.observed_runner import run_observed
from edgetune.pipeline.pipeline import SCHEMA
from edgetune.pipeline.terminal.console import State

_MEASURED = ("ImageExampleGen", "StatisticsGen", "Transform")
_WIDTH, _HEIGHT = 640, 480


class Clock:
    """Measures the seconds of each component, and the processor seconds of all together."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds = 0.0
        self._began = self._cpu_began = 0.0

    def started(self, node_id: str) -> None:
        """Start measuring a node."""
        self._began, self._cpu_began = time.monotonic(), _cpu_seconds()

    def finished(self, node_id: str, state: State) -> None:
        """Record the node's figures."""
        self.seconds[node_id] = time.monotonic() - self._began
        self.cpu_seconds += _cpu_seconds() - self._cpu_began


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="photographs as DIR/<class>/*.jpg")
    parser.add_argument("--images", type=int, nargs="+", default=[200, 1000, 4000], help="default: %(default)s")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="default: %(default)s")
    parser.add_argument("--image-size", type=int, default=224, metavar="PIXELS", help="default: %(default)s")
    options = parser.parse_args()
    print(f"{cpu_name()}, Beam {apache_beam.__version__}, seconds")
    print(f"| images | workers | {' | '.join(_MEASURED)} | together | processor |")
    print("|" + "-|" * (len(_MEASURED) + 4))
    with tempfile.TemporaryDirectory() as folder:
        # Warm up: the first run in a process has costs that occur only once.
        measure(_pictures(options.data, 60, Path(folder) / "first"), 1, options.image_size)
        for images in options.images:
            data = _pictures(options.data, images, Path(folder) / str(images))
            for workers in options.workers:
                clock = measure(data, workers, options.image_size)
                figures = [clock.seconds[node] for node in _MEASURED]
                cells = [f"{figure:.1f}" for figure in (*figures, sum(figures), clock.cpu_seconds)]
                print(f"| {images:,} | {workers} | {' | '.join(cells)} |", flush=True)


def measure(data: Path, workers: int, image_size: int) -> Clock:
    """Run the components on the images in `data`, and return their figures."""
    # Generated pictures may look like near-duplicates: do not search for them.
    settings = DataSettings(path=str(data), duplicate_distance=0)
    example_gen = ImageExampleGen(discover(settings), settings)
    examples = example_gen.outputs["examples"]
    schema_gen = CuratedSchema(SCHEMA).with_id("ImportSchemaGen")
    schema = schema_gen.outputs["schema"]
    transform = Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn="edgetune.modules.examples.preprocessing.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=SPLITS),
        custom_config={"image_size": image_size, "reading": dataclasses.asdict(Reading())},
        disable_statistics=True,
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as work:
        run_observed(
            Pipeline(
                pipeline_name="workers",
                pipeline_root=f"{work}/root",
                components=[example_gen, schema_gen, StatisticsGen(examples=examples, schema=schema), transform],
                metadata_connection_config=metadata.sqlite_metadata_connection_config(f"{work}/metadata.db"),
                beam_pipeline_args=beam_flags(BeamSettings(workers=workers)),
            ),
            clock,
        )
    return clock


def _cpu_seconds() -> float:
    """Return the processor time of all threads of this process and of its finished children."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _pictures(folder: Path | None, images: int, target: Path) -> Path:
    if folder is not None:
        return more_photographs(folder, images, target)
    return noise_pictures(images, target, _WIDTH, _HEIGHT)


if __name__ == "__main__":
    main()
