"""Read a folder of photographs into a network's input the plain TFX way, as a reader of its tutorials would.

As in TFX's CIFAR-10 example, an ExampleGen puts encoded images into examples, and Transform decodes and resizes them to
float32 tensors in -1..1. Everything else is TFX's own: splitting, shuffling, writing and counting.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor

IMAGE, LABEL = "image", "label"
SIZE = 224
SCHEMA = "".join(
    f'feature {{ name: "{name}" type: BYTES presence {{ min_fraction: 1.0 }} shape {{ }} }}\n'
    for name in (IMAGE, LABEL)
)


class Executor(BaseExampleGenExecutor):
    """Executor that converts files `<base>/<class>/*.jpg` to examples."""

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:  # noqa: N802 - TFX's name
        """Return the transform from a file pattern to tf.Examples."""
        return _to_examples


@beam.ptransform_fn
def _to_examples(pipeline: beam.Pipeline, exec_properties: dict[str, Any], pattern: str) -> beam.PCollection:
    return (
        pipeline
        | beam.Create([pattern])
        | beam.FlatMap(_files, exec_properties["input_base"])
        | beam.Reshuffle()
        | beam.Map(_example)
    )


def _files(pattern: str, base: str) -> Iterator[str]:
    yield from (str(path) for path in sorted(Path(base).glob(pattern)))


def _example(path: str) -> tf.train.Example:
    texts = {IMAGE: Path(path).read_bytes(), LABEL: Path(path).parent.name.encode()}
    features = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text])) for key, text in texts.items()}
    return tf.train.Example(features=tf.train.Features(feature=features))


def preprocessing_fn(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return images float32 `[N, SIZE, SIZE, 3]` in -1..1 and unchanged labels; TensorFlow Transform's entry point."""

    def decode(encoded: tf.Tensor) -> tf.Tensor:
        pixels = tf.image.resize(tf.io.decode_jpeg(encoded, channels=3), [SIZE, SIZE])
        return pixels / 127.5 - 1.0

    shape = tf.TensorSpec([SIZE, SIZE, 3], tf.float32)
    return {f"{IMAGE}_xf": tf.map_fn(decode, inputs[IMAGE], fn_output_signature=shape), f"{LABEL}_xf": inputs[LABEL]}
