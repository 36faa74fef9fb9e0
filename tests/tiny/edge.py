"""LiteRT models of the tiny SavedModel, converted once for all tests of a session."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import keras
import numpy as np

from edgetune.modules.contracts.bundle import INPUT_RANGES, normalisation
from edgetune.modules.conversion.convert import convert
from edgetune.modules.litert import inspection
from edgetune.modules.litert.input_range import with_input_range
from edgetune.modules.litert.metadata import Description, add_metadata
from edgetune.modules.settings.run import InputRange
from tests.tiny import model as tiny_model
from tests.tiny.session import made_once

VARIANTS = ("float32", "float16", "int8", "dynamic")
ABOUT = Description("tiny", "Tells colours apart", "the tests", "Apache-2.0")


def representative() -> np.ndarray:
    """uint8 `[N, 32, 32, 3]`."""
    return np.stack([pixels for pixels, _ in tiny_model.examples(4)])


@functools.cache
def saved_model(*, normalise: bool = True) -> str:
    """Return the SavedModel that distinguishes colours."""
    keras.utils.set_random_seed(1)
    made = made_once(f"colour-{normalise}", lambda to: tiny_model.save(tiny_model.colour_net(normalise=normalise), to))
    return str(made)


@functools.cache
def converted() -> Mapping[str, bytes]:
    """Return every variant as converted, without metadata."""
    return _converted("colour-converted", saved_model(), VARIANTS)


@functools.cache
def not_normalised() -> bytes:
    """Return float32 of the same network without its normalization."""
    return _converted("not-normalised-converted", saved_model(normalise=False), ["float32"])["float32"]


def _converted(name: str, saved: str, variants: Sequence[str]) -> Mapping[str, bytes]:
    def make(folder: Path) -> None:
        folder.mkdir()
        for variant, content in convert(saved, variants, representative()).items():
            (folder / variant).write_bytes(content)

    folder = made_once(name, make)
    return {variant: (folder / variant).read_bytes() for variant in variants}


def with_a_lost_channel(content: bytes) -> bytes:
    """Break the quantization of an int8 model: set the scale of the first kernel's last channel to 0."""
    model = inspection.parse(content)
    shapes = {id(tensor): tuple(tensor.shape) for tensor in model.subgraphs[0].tensors if tensor.shape is not None}
    kernel = next(tensor for tensor in model.subgraphs[0].tensors if shapes.get(id(tensor)) == (3, 3, 3, 3))
    kernel.quantization.scale = kernel.quantization.scale * np.float32([1, 1, 0])
    return _packed(model)


def deadly(content: bytes) -> bytes:
    """Make the interpreter abort on an int8 model: its first convolution outputs nearly nothing."""
    model = inspection.parse(content)
    [graph] = model.subgraphs
    first = next(operator for operator in graph.operators if hasattr(operator.builtinOptions, "strideH"))
    graph.tensors[first.outputs[0]].quantization.scale = np.float32([1e-9])
    return _packed(model)


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), inspection.IDENTIFIER)
    return bytes(builder.Output())


def write_edge_model(
    folder: Path,
    contents: Mapping[str, bytes] | None = None,
    inside: Sequence[str] | None = tiny_model.LABELS,
    beside: Sequence[str] = tiny_model.LABELS,
    input_range: InputRange = "raw",
) -> str:
    """Write a folder as EdgeExporter and EdgeDescriber do.

    Args:
        folder: Output folder; it is created.
        contents: Converted models by variant; by default all.
        inside: Labels in each file's metadata; None for no metadata.
        beside: Labels in `labels.txt`.
        input_range: What the float variants take.

    Returns:
        The folder, as a string.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for variant, content in (converted() if contents is None else contents).items():
        normal = normalisation(variant, *INPUT_RANGES[input_range])
        content = with_input_range(content, *normal)
        described = content if inside is None else add_metadata(content, inside, ABOUT, normal)
        (folder / f"model_{variant}.tflite").write_bytes(described)
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in beside))
    return str(folder)


def write_test_images(folder: Path, each: int = 4) -> str:
    """Raw examples with a split `test`, `each` images of every class."""
    pairs = [(tiny_model.png(pixels), label) for pixels, label in tiny_model.examples(each)]
    tiny_model.write_raw(folder, "test", pairs)
    return str(folder)
