"""Read an untrusted Parquet file in a child process.

pyarrow's C++ reader trusts the file: in TFX 1.16, a few altered bytes make it read outside its memory, and a file of
some kB can unpack to any size. So it runs in a child process, which may crash and whose memory is limited.

    python -m edgetune.modules.data.parquet COLUMNS    reads the file from stdin, writes JSON lines to stdout

COLUMNS is `data.columns` as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgetune.modules.core import bounds, child_process
from edgetune.modules.core.errors import DataError
from edgetune.modules.core.generation import guard_arrow
from edgetune.modules.data.columns import LABEL, SAMPLE, candidates, one_hot, told

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_ROWS = 1024
_SMALL = 64
"""Mean size of the values of a column that is looked at, in bytes."""
_WRITE_AGAIN = "write it again"


def read_parquet(path: str, content: bytes, given: Mapping[str, str]) -> tuple[list[str], Iterator[tuple[str, Any]]]:
    """Read a Parquet file without running any code embedded in it.

    Args:
        path: The file's name, for errors.
        content: The file's content.
        given: `data.columns`. The columns that may be of path, label or split are read, and those of classes.

    Returns:
        The names of all columns, and for each row its position (`row 1`) and its values by column. Rows are decoded
        lazily, a thousand at a time.

    Raises:
        DataError: The file is damaged, not Parquet, or unpacks to more than the memory limit, or a wanted column is
            neither text nor numbers. Damage may be detected only when its row is reached.
    """
    answers = _answers(path, content, given)
    head = next(answers)
    names, columns = head["names"], head["columns"]
    rows = (answer["row"] for answer in answers)
    return names, ((f"row {number}", dict(zip(columns, row, strict=True))) for number, row in enumerate(rows, start=1))


def _wanted(file: pq.ParquetFile, given: Mapping[str, str]) -> list[str]:
    """Return the columns to read: those that may be of a role by their names, or by their values, or of a class."""
    fields = {field.name: field.type for field in file.schema_arrow}
    names = list(file.schema_arrow.names)
    found = candidates(names, given)
    wanted = {name for listed in found.values() for name in listed}
    small = [name for name in fields if name not in wanted and _is_plain(fields[name]) and _is_small(file, name)]
    batch = next(file.iter_batches(SAMPLE, columns=small, use_threads=False), None) if small else None
    rows = batch.to_pylist() if batch is not None else []
    if rows:
        by_value = told(names, given, rows)
        wanted.update(name for listed in by_value.values() for name in listed)
        if not found[LABEL] and LABEL not in given:
            wanted.update(one_hot(names, wanted, rows))
    return [name for name in names if name in wanted]


def _is_small(file: pq.ParquetFile, name: str) -> bool:
    """Return whether a column has values of a few bytes, by the file's own account, so that it is cheap to look at."""
    of = [file.metadata.row_group(0).column(place) for place in range(file.metadata.num_columns)]
    return any(c.path_in_schema == name and c.total_uncompressed_size < _SMALL * (c.num_values + 10) for c in of)


def _answers(path: str, content: bytes, given: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the child's answers, up to the one that marks the end."""
    with tempfile.TemporaryFile(prefix="edgetune-") as file:
        file.write(content)
        file.seek(0)
        process = child_process.start(
            "edgetune.modules.data.parquet",
            json.dumps(dict(given)),
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            answer = json.loads(line)
            if "cause" in answer:
                raise DataError(f"{path} {answer['cause']}", answer["remedy"])
            if "end" in answer:
                return
            yield answer
        how = child_process.ending(process.wait())
        raise DataError(f"{path} cannot be read as Parquet: it crashed the reader ({how})", _WRITE_AGAIN)
    finally:  # also if the caller stops early
        process.kill()
        process.stdout.close()
        process.wait()


def main() -> None:
    """Run the child process."""
    content = sys.stdin.buffer.read()
    memory = bounds.PARQUET_MEMORY + 2 * len(content)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.PARQUET_CPU_SECONDS, bounds.PARQUET_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        for answer in _read(content, json.loads(sys.argv[1])):
            print(json.dumps(answer))
    except DataError as error:
        print(json.dumps({"cause": error.cause, "remedy": error.remedy}))
    else:
        print(json.dumps({"end": True}))


def _read(content: bytes, given: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet

    guard_arrow()
    try:
        # Use none of Arrow's threads: if one releases Python's bytes while the interpreter exits, the process aborts
        # (apache/arrow#34314). A list would not be read faster with them.
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        wanted = _wanted(file, given)
        yield {"names": list(file.schema_arrow.names), "columns": wanted}
        for field in file.schema_arrow:
            if field.name in wanted and not _is_plain(field.type):
                raise DataError(f"has a column {field.name} of type {field.type}", "write it as text")
        for batch in file.iter_batches(_ROWS, columns=wanted, use_threads=False):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                row = [value.decode() if isinstance(value, bytes) else value for value in values]
                if any(isinstance(value, str) and len(value) > bounds.MAX_VALUE_CHARACTERS for value in row):
                    raise DataError(
                        f"has a value of more than {bounds.MAX_VALUE_CHARACTERS} characters",
                        "write paths and labels only",
                    )
                yield {"row": row}
    except DataError:
        raise
    except RuntimeError as error:  # raised by pyarrow_hotfix
        cause = "has a column of a type with embedded Python code, which is not run"
        raise DataError(cause, "write only path, label and split, as text") from error
    except MemoryError as error:
        raise DataError("unpacks to more than a list of images can have", _WRITE_AGAIN) from error
    # Text that is not UTF-8 raises UnicodeDecodeError, a ValueError.
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"cannot be read as Parquet: {reason}", _WRITE_AGAIN) from error


def _is_plain(kind: pa.DataType) -> bool:
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    texts = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    tests = (*texts, types.is_integer, types.is_floating, types.is_boolean)
    return any(test(kind) for test in (*tests, types.is_null))


if __name__ == "__main__":
    main()
