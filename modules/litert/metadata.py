"""Write metadata into a LiteRT file in the format that MediaPipe Tasks and ML Kit read.

One buffer of the model is a flatbuffer of the schema `ModelMetadata` (identifier `M001`, in tensorflow/tflite-support
at `tensorflow_lite_support/metadata/metadata_schema.fbs`). `labels.txt` is appended to the file as a zip archive, which
flatbuffer readers ignore and zip readers find from the end. No package that writes this format can be installed
alongside TFX, so the few required tables are written here; field numbers are positions in the schema.

The metadata declares no normalisation (mean 0, deviation 1), because a layer inside the model does it, unless
`edge.input_range` asks for another range (`modules.litert.input_range`).
`modules.litert.declared_metadata` reads the metadata back.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.core import bounds
from edgetune.modules.core.errors import ExportError
from edgetune.modules.litert.flatbuffer import editable, pack

METADATA = "TFLITE_METADATA"
METADATA_IDENTIFIER = b"M001"
_PARSER_VERSION = "1.0.0"  # the first version of the schema has all fields that are written here
NORMALIZATION, _IMAGE, _FEATURE = 1, 2, 1  # members of the schema's unions
MEAN, STD = 0.0, 1.0
_RGB = 1
AXIS_LABELS = 2
SAMPLE_LABELS_FILE = "labels_without_background.txt"
"""Name under which Google's image classification sample looks for the class names in the file (`getAssociatedFile` in
ImageClassificationHelper.kt of litert-samples). MediaPipe takes the name that the metadata declares."""
# The oldest date that a zip can hold; a fixed date makes the file reproducible.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Description:
    """Texts that describe a model."""

    name: str
    description: str
    author: str = ""
    license: str = ""


def add_metadata(
    content: bytes, labels: Sequence[str], about: Description, normalisation: tuple[float, float] | None = None
) -> bytes:
    """Return a LiteRT file with metadata and labels added or replaced.

    The same arguments give the same bytes.

    Args:
        content: A model with one subgraph, one input and one output, `[1, S, S, 3]` and `[1, C]`.
        labels: `C` class names.
        about: Texts that describe the model.
        normalisation: Mean and deviation that clients apply to each channel's level, 0..255; none by default.

    Raises:
        ExportError: This is not a LiteRT model, or a class name is not one line.
    """
    if broken := [label for label in labels if not label or len(label.splitlines()) != 1]:
        raise ExportError(f"class name {broken[0]!r} is not one line of text", "rename the class's folder")
    model = editable(content)
    graph = model.subgraphs[0]
    height, width = (int(size) for size in graph.tensors[graph.inputs[0]].shape[1:3])
    metadata = np.frombuffer(_metadata(labels, about, height, width, *(normalisation or (MEAN, STD))), np.uint8)
    entry = next((entry for entry in model.metadata or [] if entry.name == METADATA.encode()), None)
    if entry is None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA, len(model.buffers)
        model.buffers.append(schema.BufferT())
        model.metadata = [*(model.metadata or []), entry]
    model.buffers[entry.buffer].data = metadata
    return _with_labels(pack(model), labels)


def read_labels(content: bytes, name: str = LABELS_FILE) -> list[str] | None:
    """Return the class names inside a LiteRT file, if there are any, as clients read them.

    Names of more than `bounds.MAX_TEXT` do not count, and are not unpacked.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # Of other compressions, zipfile unpacks all that it has read, however little was asked for.
            if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                return None
            with archive.open(name) as file:
                names = file.read(bounds.MAX_TEXT + 1)
    except Exception:  # noqa: BLE001 - zipfile raises almost anything on a damaged archive
        return None
    try:
        return names.decode().splitlines() if len(names) <= bounds.MAX_TEXT else None
    except UnicodeDecodeError:
        return None


def _with_labels(model: bytes, labels: Sequence[str]) -> bytes:
    file = io.BytesIO(model)
    with zipfile.ZipFile(file, "a") as archive:
        for name in (LABELS_FILE, SAMPLE_LABELS_FILE):
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3  # Unix, so that the bytes do not depend on this machine
            archive.writestr(info, "".join(f"{label}\n" for label in labels))
    return file.getvalue()


def _metadata(labels: Sequence[str], about: Description, height: int, width: int, mean: float, std: float) -> bytes:
    """Return the `ModelMetadata` flatbuffer."""
    builder = flatbuffers.Builder(1024)
    size = _table(builder, {0: ("Uint32", width), 1: ("Uint32", height)}, 2)
    image = _table(builder, {0: ("Int8", _RGB), 1: size}, 2)
    pixels = _table(builder, {0: ("Uint8", _IMAGE), 1: image}, 3)
    options = _table(builder, {0: _floats(builder, [mean]), 1: _floats(builder, [std])}, 2)
    unit = _table(builder, {0: ("Uint8", NORMALIZATION), 1: options}, 2)
    low, high = ((level - mean) / std for level in (0.0, 255.0))
    stats = _table(builder, {0: _floats(builder, [high]), 1: _floats(builder, [low])}, 2)
    how = "no normalisation" if (mean, std) == (0, 1) else f"the level, 0 to 255, less {mean:g}, divided by {std:g}"
    image_text = f"One image, {width} x {height} pixels, RGB, each channel {low:g} to {high:g}; {how}."
    image_tensor = {
        0: builder.CreateString("image"),
        1: builder.CreateString(image_text),
        3: pixels,
        4: _tables(builder, [unit]),
        5: stats,
    }
    file = {0: builder.CreateString(LABELS_FILE), 1: builder.CreateString("Class names, in the order of the output.")}
    axis = _table(builder, {**file, 2: ("Int8", AXIS_LABELS)}, 5)
    feature = _table(builder, {}, 0)
    content = _table(builder, {0: ("Uint8", _FEATURE), 1: feature}, 3)
    score_stats = _table(builder, {0: _floats(builder, [1.0]), 1: _floats(builder, [0.0])}, 2)
    score_tensor = {
        0: builder.CreateString("probability"),
        1: builder.CreateString(f"Probability of each of {len(labels)} classes."),
        3: content,
        5: score_stats,
        6: _tables(builder, [axis]),
    }
    inputs = _tables(builder, [_table(builder, image_tensor, 7)])
    outputs = _tables(builder, [_table(builder, score_tensor, 7)])
    graph = _tables(builder, [_table(builder, {2: inputs, 3: outputs}, 10)])
    fields = {0: about.name, 1: about.description, 4: about.author, 5: about.license, 7: _PARSER_VERSION}
    written = {field: builder.CreateString(text) for field, text in fields.items() if text}
    builder.Finish(_table(builder, {**written, 3: graph}, 8), METADATA_IDENTIFIER)
    return bytes(builder.Output())


def _table(builder: Any, fields: dict[int, int | tuple[str, int]], size: int) -> int:
    """Write a table of `size` fields, each an offset or the type and value of a scalar, and return its offset."""
    builder.StartObject(size)
    for position, value in fields.items():
        if isinstance(value, tuple):
            kind, scalar = value
            getattr(builder, f"Prepend{kind}Slot")(position, scalar, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(position, value, 0)
    return int(builder.EndObject())


def _tables(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: Any, values: list[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())
