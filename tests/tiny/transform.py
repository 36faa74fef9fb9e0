"""Transform's graph and vocabulary for the tiny images, analysed by TensorFlow Transform once for each session."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pickle
from pathlib import Path

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import PipelineOptions
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from edgetune.modules.contracts import example_features
from edgetune.modules.examples.preprocessing import preprocessing_fn
from edgetune.modules.images.reading import Reading
from tests.tiny import model
from tests.tiny.session import made_once

# In sorted order. Their frequencies have the opposite order, and neither numeric nor alphabetical order is this one.
LABELS = ("10", "2 b", "Ärger")
UNKNOWN = "zebra"
_SPEC = {
    example_features.IMAGE: tf.io.FixedLenFeature([], tf.string),
    example_features.LABEL: tf.io.FixedLenFeature([], tf.string),
    example_features.PLAIN: tf.io.FixedLenFeature([], tf.int64),
}
SIZE = model.SIZE


def analysed() -> list[tuple[bytes, str]]:
    """Return encoded images with their labels, the analysed data. Image sizes differ."""
    labels = [LABELS[2]] * 3 + [LABELS[0]] + [LABELS[1]] * 2
    return [(model.png(model.image("red", seed, 20 + 9 * seed)), label) for seed, label in enumerate(labels)]


def unseen() -> list[tuple[bytes, str]]:
    """Return data that is transformed but was not analysed."""
    return [(content, label) for (content, _), label in zip(analysed(), [*LABELS, UNKNOWN], strict=False)]


@functools.cache
def transformed() -> tuple[tft.TFTransformOutput, dict[str, list[dict]]]:
    """Return Transform's output and the transformed examples, `analysed` and `unseen`, in the order of their inputs."""
    folder = made_once("transformed", _transform)
    found = {name: pickle.loads((folder / name).read_bytes()) for name in _PAIRS}
    return tft.TFTransformOutput(str(folder / "graph")), found


def _transform(folder: Path) -> None:
    folder.mkdir()
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(_SPEC))
    function = functools.partial(preprocessing_fn, custom_config=_config(SIZE, Reading()))
    # Not `DirectRunner`: it would look for another runner on the network.
    options = PipelineOptions(["--runner=FnApiRunner"])
    with tft_beam.Context(temp_dir=str(folder / "temp")), beam.Pipeline(options=options) as pipeline:
        done = {}
        raw = {name: pipeline | name >> beam.Create(_rows(pairs())) for name, pairs in _PAIRS.items()}
        (done["analysed"], _), graph = (raw["analysed"], metadata) | tft_beam.AnalyzeAndTransformDataset(function)
        done["unseen"], _ = ((raw["unseen"], metadata), graph) | tft_beam.TransformDataset()
        graph | tft_beam.WriteTransformFn(str(folder / "graph"))
        for name, rows in done.items():
            listed = rows | f"List[{name}]" >> beam.combiners.ToList()
            listed | f"Keep[{name}]" >> beam.Map(_keep, str(folder / name))


@functools.cache
def graph(labels: tuple[str, ...], image_size: int, reading: Reading = Reading()) -> tft.TFTransformOutput:  # noqa: B008
    """Return Transform's output for other classes, another size in pixels and other options of reading."""
    name = f"graph-{image_size}-{hashlib.sha256(repr((labels, reading)).encode()).hexdigest()[:16]}"
    folder = made_once(name, lambda to: _analyse(to, labels, image_size, reading))
    return tft.TFTransformOutput(str(folder / "graph"))


def _config(image_size: int, reading: Reading) -> dict[str, object]:
    return {"image_size": image_size, "reading": dataclasses.asdict(reading)}


def _analyse(folder: Path, labels: tuple[str, ...], image_size: int, reading: Reading) -> None:
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(_SPEC))
    function = functools.partial(preprocessing_fn, custom_config=_config(image_size, reading))
    rows = _rows([(model.png(model.image("red", 1)), label) for label in labels])
    options = PipelineOptions(["--runner=FnApiRunner"])
    with tft_beam.Context(temp_dir=str(folder / "temp")), beam.Pipeline(options=options) as pipeline:
        made = (pipeline | beam.Create(rows), metadata) | tft_beam.AnalyzeDataset(function)
        made | tft_beam.WriteTransformFn(str(folder / "graph"))


_PAIRS = {"analysed": analysed, "unseen": unseen}


def _rows(pairs: list[tuple[bytes, str]]) -> list[dict[str, bytes | int]]:
    names = example_features.IMAGE, example_features.LABEL, example_features.PLAIN
    # All of them are plain, so that it makes no difference to say so.
    values = [(content, label.encode(), number % 2) for number, (content, label) in enumerate(pairs)]
    return [dict(zip(names, row, strict=True)) for row in values]


def _keep(rows: list[dict], path: str) -> None:
    Path(path).write_bytes(pickle.dumps(rows))
