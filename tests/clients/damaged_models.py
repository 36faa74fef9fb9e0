"""Models that a client would refuse or, worse, answer wrongly with, each really made that way.

All are of the network that tells colours apart, and differ from a sound one in the one thing that their name says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from edgetune.modules.contracts.signatures import EDGE
from edgetune.modules.conversion.converter import Converter, OpsSet, Optimize
from edgetune.modules.litert import metadata
from edgetune.modules.litert.metadata import add_metadata
from tests.tiny import edge
from tests.tiny import model as tiny_model

SOUND = "sound"
# The variant that each passes for. One of a row of four can stand in one edge model.
ROWS = (
    {"float32": SOUND, "float16": "no metadata", "dynamic": "a label too many", "int8": "int8 input and output"},
    {"float32": "two signatures", "float16": "normalised twice", "int8": "calibrated on dark images"},
)


def make(folder: Path) -> dict[str, Path]:
    """Convert all of them into `folder` and return each one's file."""
    saved_model = edge.saved_model()
    plain = _converted(saved_model)
    with mock.patch.multiple(metadata, MEAN=127.5, STD=127.5):
        twice = _described(plain)
    contents = {
        SOUND: _described(plain),
        "no metadata": plain,
        "a label too many": add_metadata(plain, (*tiny_model.LABELS, "yellow"), edge.ABOUT),
        "int8 input and output": _described(_quantized(saved_model, io=tf.int8, output=tf.int8)),
        "two signatures": _described(_converted(_two_signatures(folder / "two"), EDGE, "again")),
        "normalised twice": twice,
        "calibrated on dark images": _described(_quantized(saved_model, brightest=100)),
    }
    files = {name: folder / f"{name.replace(' ', '_')}.tflite" for name in contents}
    for name, content in contents.items():
        files[name].write_bytes(content)
    return files


def _described(content: bytes) -> bytes:
    return add_metadata(content, tiny_model.LABELS, edge.ABOUT)


def _converted(saved_model: str, *signatures: str) -> bytes:
    keys = list(signatures or (EDGE,))
    return Converter.from_saved_model(saved_model, signature_keys=keys).convert()


def _quantized(saved_model: str, io: Any = tf.uint8, output: Any = tf.float32, brightest: int = 255) -> bytes:
    """Integers inside; the representative images are cut off at `brightest`."""

    def images() -> Iterator[list[np.ndarray]]:
        for image in (*edge.representative(), np.zeros((32, 32, 3)), np.full((32, 32, 3), 255)):
            yield [np.minimum(image, brightest)[np.newaxis].astype(np.float32)]

    converter = Converter.from_saved_model(saved_model, signature_keys=[EDGE])
    converter.optimizations = [Optimize.DEFAULT]
    converter.representative_dataset = images
    converter.target_spec.supported_ops = [OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type, converter.inference_output_type = io, output
    return converter.convert()


def _two_signatures(folder: Path) -> str:
    model = tiny_model.colour_net()
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name in (EDGE, "again"):
        archive.add_endpoint(name, lambda image: model(image), [tf.TensorSpec([1, 32, 32, 3], tf.float32, "image")])
    archive.write_out(str(folder), verbose=False)
    return str(folder)
