"""Read a LiteRT file's metadata as client libraries do, and check it.

Clients trust the metadata: a wrong normalisation gives wrong answers without any error. Field numbers are positions in
the schema that `modules.litert.metadata` names.
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
    SAMPLE_LABELS_FILE,
    STD,
    read_labels,
)


@dataclass(frozen=True)
class Declared:
    """Content of a file's metadata; a field that is not declared is None or empty."""

    name: str | None
    description: str | None
    author: str | None
    license: str | None
    mean: tuple[float, ...]
    """Subtracted by a client from each pixel of the input: one value for all channels, or one for each."""
    std: tuple[float, ...]
    """Divisor that the client applies afterwards."""
    labels_file: str | None
    """Name of the embedded file that holds the class names of the output."""


def read_metadata(content: bytes) -> Declared | None:
    """Return the metadata of a LiteRT file, if it has any.

    Raises:
        ExportError: It is not a LiteRT model, or its metadata is damaged or not for one input and one output.
    """
    model = parse(content)
    entry = next((entry for entry in model.metadata or [] if entry.name == METADATA.encode()), None)
    if entry is None:
        return None
    try:
        return _declared(bytes(model.buffers[entry.buffer].data))
    except Exception as error:  # a damaged flatbuffer can raise any exception
        raise ExportError(f"has metadata that cannot be read: {error}", "export the model again") from None


def normalisation_of(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation that a client applies to the levels of a float model, float32 `[1]` or `[3]`.

    They are 0 and 1 for a file without metadata, or whose metadata declares none.

    Raises:
        ExportError: The metadata cannot be read, or the deviation is zero.
    """
    declared = read_metadata(content)
    if declared is None or not declared.mean or not declared.std:
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    mean, std = np.array(declared.mean, np.float32), np.array(declared.std, np.float32)
    if not std.all() or not {len(mean), len(std)} <= {1, 3}:
        raise ExportError(
            f"declares a normalisation that cannot be applied: mean {_listed(declared.mean)}, deviation "
            f"{_listed(declared.std)}",
            "export the model again",
        )
    return mean, std


def metadata_problems(
    content: bytes, labels: Sequence[str], normalisation: tuple[float, float] = (MEAN, STD)
) -> list[str]:
    """Return the problems that a variant's metadata would cause in clients, one sentence each.

    Args:
        content: The variant's file.
        labels: The expected class names, in the order of the output.
        normalisation: The expected mean and deviation.

    Raises:
        ExportError: It is not a LiteRT model, or its metadata cannot be read.
    """
    declared = read_metadata(content)
    if declared is None:
        return ["has no metadata, so MediaPipe and ML Kit refuse it"]
    found = []
    inside = read_labels(content)
    if inside is None:
        found.append(f"has no {LABELS_FILE} inside, so MediaPipe and ML Kit cannot name the classes")
    elif declared.labels_file != LABELS_FILE:
        found.append(f"declares {declared.labels_file or 'nothing'} as the file of its class names, not {LABELS_FILE}")
    elif inside != list(labels):
        found.append(f"{LABELS_FILE} inside the file differs from the SavedModel's")
    if read_labels(content, SAMPLE_LABELS_FILE) not in (None, inside):
        found.append(f"{SAMPLE_LABELS_FILE} inside the file differs from {LABELS_FILE}")
    mean, std = normalisation
    if set(declared.mean) != {mean} or set(declared.std) != {std}:
        twice = "the model normalises its input itself, and clients would normalise it a second time"
        why = twice if normalisation == (MEAN, STD) else "clients would give it values of another range"
        found.append(
            f"declares mean {_listed(declared.mean)} and deviation {_listed(declared.std)} instead of {mean:g} and "
            f"{std:g}: {why}"
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
        mean=_floats(units[0], 0) if units else (),  # of several, clients use the first
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
