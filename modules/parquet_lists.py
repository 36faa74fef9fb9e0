"""The columns and rows of a Parquet file that a user gave."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from modules.errors import DataError
from modules.generation import guard_arrow

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 4096


def read_parquet(path: str, content: bytes, wanted: Collection[str]) -> tuple[list[str], Iterator[tuple[str, Any]]]:
    """Read a Parquet file; no code that stands in it is run.

    Args:
        path: Its name, for errors.
        content: What it holds.
        wanted: The columns to read, of those that there are.

    Returns:
        The names of all columns, and for each row where it stands and its values by column. Rows are decoded while
        they are asked for, some thousands at a time.

    Raises:
        DataError: It is damaged or not Parquet, or a wanted column holds neither text nor numbers. Damage may be seen
            only when its row is asked for.
    """
    import pyarrow as pa
    import pyarrow.parquet

    guard_arrow()
    try:
        # Not one thread of Arrow's: where one lets go of bytes of Python's while the interpreter ends, the process
        # aborts (apache/arrow#34314). A list gains nothing by them.
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _refused(path, error) from error
    except RuntimeError as error:  # the guard's
        cause = f"{path} has a column of a type that brings Python code, and none is run"
        raise DataError(cause, "write path, label and split as text, and nothing else") from error
    for field in schema:
        if field.name in wanted and not _is_plain(field.type):
            raise DataError(f"{path}: the column {field.name} is of type {field.type}", "write it as text")
    columns = [name for name in schema.names if name in wanted]
    return list(schema.names), _rows(path, file, columns)


def _rows(path: str, file: Any, columns: list[str]) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa

    number = 0
    try:
        for batch in file.iter_batches(_ROWS, columns=columns, use_threads=False):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row
    # UnicodeDecodeError, which is a ValueError, comes of text that is not UTF-8.
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _refused(path, error) from error


def _is_plain(kind: pa.DataType) -> bool:
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
    return any(test(kind) for test in (*tests, types.is_null))


def _refused(path: str, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}", "write it anew")
