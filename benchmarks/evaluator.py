"""What the Evaluator needs as the test split grows: TFX's, and ours in small batches.

    python -m benchmarks.evaluator --data DIR --model DIR [--images 1000 4000]

The model is a SavedModel that edgetune pushed, whose classes are the folders in DIR. There are as many test images as
wanted: the photographs, again and again. Each measurement is a process of its own, whose imports do not count. Memory
that does not follow the images is what is to be seen: it is told at its highest within each fifth of the work.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

import tensorflow as tf
from google.protobuf import json_format
from tfx.components.evaluator import executor as tfx_executor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from benchmarks.measure import Memory, cpu_name
from components.evaluator import executor
from components.image_example_gen.raw_example import Reading, of_image
from modules.beam_settings import BeamSettings
from modules.settings import EvaluationSettings, flatten
from pipeline.beam_engines import beam_flags
from pipeline.evaluation import eval_config

_EVALUATORS = {"TFX": tfx_executor.Executor, "ours": executor.Executor}
_SPLIT = "test"
_PARTS = 5
_MAX_PIXELS = 50_000_000


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photographs as DIR/<class>/*.jpg")
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="a SavedModel that was pushed")
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 4000], help="default: %(default)s")
    options = parser.parse_args()
    print(f"{cpu_name()}, {os.cpu_count()} cores")
    print(f"| test images | batches | seconds | {' | '.join(f'MB, fifth {part + 1}' for part in range(_PARTS))} |")
    print("|" + "-|" * (_PARTS + 3))
    for images in options.images:
        with tempfile.TemporaryDirectory() as place:
            _write(options.data, images, Path(place) / "examples")
            for whose, evaluator in _EVALUATORS.items():
                with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    seconds, peaks = pool.submit(measure, Path(place), options.model, evaluator).result()
                cells = " | ".join(f"{peak:,.0f}" for peak in peaks)
                print(f"| {images:,} | {whose} | {seconds:.1f} | {cells} |", flush=True)


def measure(place: Path, model: Path, evaluator: type[BaseBeamExecutor]) -> tuple[float, list[float]]:
    """Evaluates the examples below `place`.

    Returns:
        Seconds, and the highest anonymous memory of each fifth of them, in MB above what was there before.
    """
    folder = Path(tempfile.mkdtemp(dir=place))
    (folder / "model").mkdir()
    (folder / "model" / "Format-Serving").symlink_to(model.resolve())
    examples = _artifact(standard_artifacts.Examples, place / "examples")
    examples.split_names = f'["{_SPLIT}"]'
    inputs = {"examples": [examples], "model": [_artifact(standard_artifacts.Model, folder / "model")]}
    outputs = {
        "evaluation": [_artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")],
        "blessing": [_artifact(standard_artifacts.ModelBlessing, folder / "blessing")],
    }
    settings = EvaluationSettings()
    properties = {
        "eval_config": json_format.MessageToJson(eval_config(settings)),
        "example_splits": f'["{_SPLIT}"]',
        **flatten(settings),
    }
    context = BaseBeamExecutor.Context(
        beam_pipeline_args=beam_flags(BeamSettings(workers=1)), tmp_dir=str(folder / "tmp"), unique_id="1"
    )
    started = time.monotonic()
    with Memory() as memory:
        evaluator(context).Do(inputs, outputs, properties)
    return time.monotonic() - started, memory.peaks_mb(_PARTS)


def _artifact(kind: type[Artifact], uri: Path) -> Artifact:
    artifact = kind()
    artifact.uri = str(uri)
    return artifact


def _write(data: Path, images: int, target: Path) -> None:
    """Raw examples as ImageExampleGen makes them."""
    reading = Reading(_MAX_PIXELS)
    originals = [
        of_image(path.read_bytes(), path.parent.name, str(path), reading).value.example
        for path in sorted(data.glob("*/*.jpg"))
    ]
    path = target / f"Split-{_SPLIT}" / "data_tfrecord-00000-of-00001.gz"
    path.parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP", compression_level=0)) as writer:
        for example in islice(cycle(originals), images):
            writer.write(example)


if __name__ == "__main__":
    main()
