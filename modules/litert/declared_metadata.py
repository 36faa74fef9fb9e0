"""What a LiteRT file declares of itself in its metadata, read as its clients read it, and what is wrong with that.

A client believes what is declared and computes with it: a wrong normalisation gives wrong answers without any error.
The numbers of the fields are their positions in the schema that `modules.litert.metadata` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table

from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.core.errors import ExportError
from edgetune.modules.litert.inspection import parse
from edgetune.modules.litert.metadata import (
    AXIS_LABELS,
    MEAN,
    METADATA,
    METADATA_IDENTIFIER,
    NORMALIZATION,
    STD,
    read_labels,
)


@dataclass(frozen=True)
class Declared:
    """What metadata says; None or empty where it says nothing."""

    name: str | None
    description: str | None
    author: str | None
    license: str | None
    mean: tuple[float, ...]
    """What a client subtracts from each pixel of the input, for all channels or for each."""
    std: tuple[float, ...]
    """What it divides by then."""
    labels_file: str | None
    """Name of the file inside that holds the class names of the output."""


def read_metadata(content: bytes) -> Declared | None:
    """Metadata of a LiteRT file; None where there is none.

    Raises:
        ExportError: It is no LiteRT model, or its metadata is damaged, or not of one input and one output.
    """
    model = parse(content)
    entry = next((entry for entry in model.metadata or [] if entry.name == METADATA.encode()), None)
    if entry is None:
        return None
    try:
        return _declared(bytes(model.buffers[entry.buffer].data))
    except Exception as error:  # a damaged flatbuffer fails anywhere, with anything
        raise ExportError(f"has metadata that cannot be read: {error}", "export the model again") from None


def metadata_problems(content: bytes, labels: Sequence[str]) -> list[str]:
    """What clients would stumble over in a variant's metadata, or believe wrongly, one sentence each.

    Args:
        content: The variant's file.
        labels: The class names that it must have, in the order of the output.

    Raises:
        ExportError: It is no LiteRT model, or its metadata cannot be read.
    """
    declared = read_metadata(content)
    if declared is None:
        return ["has no metadata, so MediaPipe and ML Kit refuse it"]
    found = []
    inside = read_labels(content)
    if inside is None:
        found.append(f"has no {LABELS_FILE} inside, so MediaPipe and ML Kit cannot name the classes")
    elif declared.labels_file != LABELS_FILE:
        found.append(f"declares {declared.labels_file or 'nothing'} as its class names, and not {LABELS_FILE}")
    elif inside != list(labels):
        found.append(f"{LABELS_FILE} inside the file is not the SavedModel's")
    if set(declared.mean) != {MEAN} or set(declared.std) != {STD}:
        found.append(
            f"declares mean {_listed(declared.mean)} and deviation {_listed(declared.std)} where {MEAN:g} and "
            f"{STD:g} are right: the model normalises by itself, and clients would do it a second time"
        )
    return found


def _declared(written: bytes) -> Declared:
    if written[4:8] != METADATA_IDENTIFIER:
        raise ValueError(f"it begins with {written[:8]!r}")
    root = Table(written, encode.Get(packer.uoffset, written, 0))
    [graph] = _tables(root, 3)
    [image], [output] = _tables(graph, 2), _tables(graph, 3)
    units = [_table(unit, 1) for unit in _tables(image, 4) if _byte(unit, 0) == NORMALIZATION]
    files = [_text(file, 0) for file in _tables(output, 6) if _byte(file, 2) == AXIS_LABELS]
    return Declared(
        name=_text(root, 0),
        description=_text(root, 1),
        author=_text(root, 4),
        license=_text(root, 5),
        mean=_floats(units[0], 0) if units else (),  # a client takes the first of several
        std=_floats(units[0], 1) if units else (),
        labels_file=files[0] if files else None,
    )


def _table(table: Table, field: int) -> Table:
    return Table(table.Bytes, table.Indirect(table.Offset(4 + 2 * field) + table.Pos))


def _tables(table: Table, field: int) -> list[Table]:
    at = table.Offset(4 + 2 * field)
    if not at:
        return []
    first = table.Vector(at)
    return [Table(table.Bytes, table.Indirect(first + 4 * index)) for index in range(table.VectorLen(at))]


def _text(table: Table, field: int) -> str | None:
    at = table.Offset(4 + 2 * field)
    return table.String(at + table.Pos).decode() if at else None


def _byte(table: Table, field: int) -> int:
    return int(table.GetSlot(4 + 2 * field, 0, number_types.Uint8Flags))


def _floats(table: Table, field: int) -> tuple[float, ...]:
    at = table.Offset(4 + 2 * field)
    if not at:
        return ()
    return tuple(float(value) for value in np.frombuffer(table.Bytes, "<f4", table.VectorLen(at), table.Vector(at)))


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "nothing"
