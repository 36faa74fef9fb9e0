"""Measure the memory of TFX's Evaluator, of ours, and of EdgeEvaluator as the test split grows.

    python -m benchmarks.runs.evaluator_memory --data DIR --model DIR --edge DIR [--images 1000 4000]

SavedModel and edge bundle are those that edgetune pushed; their classes are the folders in the data. The photographs
are repeated to get the requested number of images. Each measurement is a separate process, whose imports do not count.
The peak of memory is printed for each fifth of the time, to show whether it grows with the number of images.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

import tensorflow as tf
from google.protobuf import json_format
from tfx.components.evaluator import executor as tfx_executor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from benchmarks.lib.measure import Memory, cpu_name
from edgetune.components.evaluator import executor
from edgetune.components.image_example_gen.raw_example import from_image
from edgetune.modules.evaluation.edge import evaluate
from edgetune.modules.evaluation.verdict import Thresholds
from edgetune.modules.examples import shards
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.execution import BeamSettings
from edgetune.modules.settings.run import DataSettings, EvaluationSettings, flatten
from edgetune.pipeline.beam.flags import beam_flags
from edgetune.pipeline.dag.eval_config import eval_config

_SPLIT = "test"
_PARTS = 5


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photographs as DIR/<class>/*.jpg")
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="a SavedModel that was pushed")
    parser.add_argument("--edge", type=Path, required=True, metavar="DIR", help="the edge bundle that was pushed")
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 4000], help="default: %(default)s")
    options = parser.parse_args()
    print(f"{cpu_name()}, {os.cpu_count()} cores")
    print(f"| test images | evaluator | seconds | {' | '.join(f'MB, fifth {part + 1}' for part in range(_PARTS))} |")
    print("|" + "-|" * (_PARTS + 3))
    for images in options.images:
        with tempfile.TemporaryDirectory() as folder:
            _write(options.data, images, Path(folder) / "examples")
            ways: dict[str, Callable[[Path], None]] = {
                "TFX's Evaluator": partial(_beam, tfx_executor.Executor, options.model),
                "ours": partial(_beam, executor.Executor, options.model),
                "EdgeEvaluator": partial(_edge, options.model, options.edge),
            }
            for name, way in ways.items():
                with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    seconds, peaks = pool.submit(_measure, way, Path(folder) / "examples").result()
                cells = " | ".join(f"{peak:,.0f}" for peak in peaks)
                print(f"| {images:,} | {name} | {seconds:.1f} | {cells} |", flush=True)


def _measure(way: Callable[[Path], None], examples: Path) -> tuple[float, list[float]]:
    """Return the seconds, and the peak of anonymous memory in each fifth of them, in MB more than before."""
    started = time.monotonic()
    with Memory() as memory:
        way(examples)
    return time.monotonic() - started, memory.peaks_mb(_PARTS)


def _edge(model: Path, bundle: Path, examples: Path) -> None:
    evaluate(str(model), str(bundle), str(examples), Thresholds())


def _beam(evaluator: type[BaseBeamExecutor], model: Path, uri: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir=uri.parent))
    (folder / "model").mkdir()
    (folder / "model" / "Format-Serving").symlink_to(model.resolve())
    examples = _artifact(standard_artifacts.Examples, uri)
    examples.split_names = f'["{_SPLIT}"]'
    digest = hashlib.sha256((uri / shards.SHARDS_FILE).read_bytes()).hexdigest()
    examples.set_string_custom_property(shards.PROPERTY, digest)
    inputs = {"examples": [examples], "model": [_artifact(standard_artifacts.Model, folder / "model")]}
    outputs = {
        "evaluation": [_artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")],
        "blessing": [_artifact(standard_artifacts.ModelBlessing, folder / "blessing")],
    }
    settings = EvaluationSettings()
    properties = {
        "eval_config": json_format.MessageToJson(eval_config()),
        "example_splits": f'["{_SPLIT}"]',
        **flatten(settings),
    }
    context = BaseBeamExecutor.Context(
        beam_pipeline_args=beam_flags(BeamSettings(workers=1)), tmp_dir=str(folder / "tmp"), unique_id="1"
    )
    evaluator(context).Do(inputs, outputs, properties)


def _artifact(kind: type[Artifact], uri: Path) -> Artifact:
    artifact = kind()
    artifact.uri = str(uri)
    return artifact


def _write(data: Path, images: int, target: Path) -> None:
    """Write raw examples as ImageExampleGen does."""
    reading = Reading(DataSettings(path=str(data)).max_pixels)
    originals = [
        from_image(path.read_bytes(), path.parent.name, str(path), reading).value.example
        for path in sorted(data.glob("*/*.jpg"))
    ]
    path = target / f"Split-{_SPLIT}" / "data_tfrecord-00000-of-00001.gz"
    path.parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP", compression_level=0)) as writer:
        for example in islice(cycle(originals), images):
            writer.write(example)
    shards.write(str(target), {_SPLIT: images})


if __name__ == "__main__":
    main()
