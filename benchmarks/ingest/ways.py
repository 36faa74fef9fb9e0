"""Ways from a folder of photographs to training data, each to be run in a separate process."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from PIL import Image

from benchmarks.lib.measure import Memory
from edgetune.modules.images import decode as images
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import BeamSettings, DataSettings

SIZE = 224
_BATCH = 32


class Meter:
    """Measures the parts of a way."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure the context as a part."""
        began, cpu = time.perf_counter(), _cpu_seconds()
        yield
        self.seconds[name] = time.perf_counter() - began
        self.cpu_seconds[name] = _cpu_seconds() - cpu


def measure(way: str, data: Path, target: Path) -> dict[str, Any]:
    """Run a way and measure it.

    Args:
        way: One of `WAYS`.
        data: Folder of photographs, `<class>/*.jpg`.
        target: Empty folder to write to; temporary files go into its subfolder `tmp`.

    Returns:
        `seconds` and `cpu_seconds` by part; `kept_bytes`, left in `target` at the end; `written_bytes`, written to the
        file system in total; `peak_mb`, the peak of anonymous memory, less what was in use before.
    """
    meter, run = Meter(), WAYS[way]
    with Memory() as memory:
        written = _written_bytes()
        run(data, target, meter)
        written = _written_bytes() - written
    found = (path for path in target.rglob("*") if path.is_file())
    kept = sum(path.stat().st_size for path in found if path.relative_to(target).parts[0] != "tmp")
    return {
        "seconds": meter.seconds,
        "cpu_seconds": meter.cpu_seconds,
        "kept_bytes": kept,
        "written_bytes": written,
        "peak_mb": memory.peak_mb,
    }


def _ours(data: Path, target: Path, meter: Meter) -> None:
    from edgetune.components.common.artifacts import IngestReport
    from edgetune.components.common.names import REPORT_KEY
    from edgetune.components.image_example_gen import ImageExampleGen
    from edgetune.components.image_example_gen.executor import Executor
    from edgetune.components.transform import Transform
    from edgetune.components.transform.executor import Executor as TransformExecutor
    from edgetune.modules.data.sources import discover

    settings = DataSettings(path=str(data), min_examples_per_class=1)
    example_gen = ImageExampleGen(discover(settings), settings, split_memory=str(target / "split_memory"))
    outputs = {"examples": [_examples(target / "examples")], REPORT_KEY: [_artifact(IngestReport, target / "report")]}
    with meter.part("ImageExampleGen"):
        Executor(_context(target)).Do({}, outputs, dict(example_gen.exec_properties))
    schema = (Path(__file__).resolve().parents[2] / "schemas" / "examples.pbtxt").read_text(encoding="utf-8")
    component = {
        "preprocessing_fn": "edgetune.modules.examples.preprocessing.preprocessing_fn",
        "custom_config": {"image_size": SIZE, "reading": dataclasses.asdict(Reading())},
        "disable_statistics": True,
    }
    _transform(Transform, TransformExecutor, component, outputs["examples"], schema, target, meter)


def _plain(data: Path, target: Path, meter: Meter) -> None:
    from tfx.components.transform.component import Transform
    from tfx.components.transform.executor import Executor as TransformExecutor
    from tfx.proto import example_gen_pb2

    from benchmarks.lib import plain_tfx

    shares = [{"name": name, "hash_buckets": share} for name, share in (("train", 8), ("eval", 1), ("test", 1))]
    properties = {
        "input_base": str(data),
        "input_config": json.dumps({"splits": [{"name": "all", "pattern": "*/*"}]}),
        "output_config": json.dumps({"split_config": {"splits": shares}}),
        "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
        "output_file_format": example_gen_pb2.FORMAT_TFRECORDS_GZIP,
    }
    outputs = {"examples": [_examples(target / "examples")]}
    with meter.part("ExampleGen"):
        plain_tfx.Executor(_context(target)).Do({}, outputs, properties)
    component = {"preprocessing_fn": "benchmarks.lib.plain_tfx.preprocessing_fn"}
    _transform(Transform, TransformExecutor, component, outputs["examples"], plain_tfx.SCHEMA, target, meter)


def _transform(
    component_class: Any,
    executor_class: Any,
    component: dict[str, Any],
    examples: list[Any],
    schema_text: str,
    target: Path,
    meter: Meter,
) -> None:
    """Run a Transform component on examples, as a runner would."""
    from tfx import types
    from tfx.proto import transform_pb2
    from tfx.types import standard_artifacts

    made = component_class(
        examples=types.Channel(type=standard_artifacts.Examples),
        schema=types.Channel(type=standard_artifacts.Schema),
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "eval", "test"]),
        **component,
    )
    schema = _artifact(standard_artifacts.Schema, target / "schema")
    (target / "schema").mkdir()
    (target / "schema" / "schema.pbtxt").write_text(schema_text, encoding="utf-8")
    outputs = {key: [_artifact(channel.type, target / key)] for key, channel in made.outputs.items()}
    with meter.part("Transform"):
        executor_class(_context(target)).Do(
            {"examples": examples, "schema": [schema]}, outputs, dict(made.exec_properties)
        )


def _context(target: Path) -> Any:
    from tfx.dsl.components.base import base_beam_executor

    from edgetune.pipeline.beam.flags import beam_flags

    return base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=beam_flags(BeamSettings()), tmp_dir=str(target / "tmp"), unique_id="1"
    )


def _examples(folder: Path) -> Any:
    from tfx.types import standard_artifacts

    return _artifact(standard_artifacts.Examples, folder)


def _artifact(kind: Any, folder: Path) -> Any:
    artifact = kind()
    artifact.uri = str(folder)
    return artifact


def _tensorflow(data: Path, target: Path, meter: Meter) -> None:
    """Decode and resize with tf.data, as `modules.images.decode` does, and nothing else: the raw limit."""
    del target
    paths = tf.data.Dataset.from_tensor_slices([str(path) for path in sorted(data.glob("*/*.jpg"))])
    decoded = paths.map(
        lambda path: images.decode(tf.io.read_file(path), SIZE), num_parallel_calls=tf.data.AUTOTUNE
    ).batch(_BATCH)
    with meter.part("decode and resize"):
        for _ in decoded.prefetch(2):
            pass


def _pillow(data: Path, target: Path, meter: Meter) -> None:
    """Decode and resize with Pillow, in as many threads as there are cores: the raw limit of Pillow."""
    del target

    def decode(path: Path) -> None:
        with Image.open(path) as image:
            image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR).tobytes()

    with meter.part("decode and resize"), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(decode, sorted(data.glob("*/*.jpg"))):
            pass


WAYS: dict[str, Callable[[Path, Path, Meter], None]] = {
    "ours": _ours,
    "plain TFX": _plain,
    "TensorFlow": _tensorflow,
    "Pillow": _pillow,
}


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _written_bytes() -> int:
    """Return the bytes that this process has written to the file system, including files removed since."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text(encoding="utf-8").splitlines())
    return int(counters["wchar"])
