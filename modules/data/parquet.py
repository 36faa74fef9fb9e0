"""The columns and rows of a Parquet file that a user gave, read in a process of its own.

The reader is C++ and works on the file's word: that of TFX 1.16's pyarrow reads outside of its memory where a few bytes
are altered, and a file of some kB may unpack to any size. So it may end, and its memory is bounded.

    python -m edgetune.modules.data.parquet COLUMN...    the file on standard input, JSON lines on standard output
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from edgetune.modules.core import child_process
from edgetune.modules.core.errors import DataError
from edgetune.modules.core.generation import guard_arrow

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 1024
_LONGEST = 1 << 16
"""Characters of one value; Linux allows a path 4,096 bytes."""
_MEMORY = 2 << 30
"""Address space of the process beside the file's own bytes, in bytes; pyarrow alone reserves a fifth of it."""
_CPU_SECONDS = 600
_WRITE_ANEW = "write it anew"


def read_parquet(path: str, content: bytes, wanted: Collection[str]) -> tuple[list[str], Iterator[tuple[str, Any]]]:
    """Read a Parquet file; no code that stands in it is run.

    Args:
        path: Its name, for errors.
        content: What it holds.
        wanted: The columns to read, of those that there are.

    Returns:
        The names of all columns, and for each row where it stands and its values by column. Rows are decoded while
        they are asked for, a thousand at a time.

    Raises:
        DataError: It is damaged or not Parquet, unpacks to more than fits into the memory it may have, or a wanted
            column holds neither text nor numbers. Damage may be seen only when its row is asked for.
    """
    answers = _answers(path, content, wanted)
    names = next(answers)["names"]
    columns = [name for name in names if name in wanted]
    rows = (answer["row"] for answer in answers)
    return names, ((f"row {number}", dict(zip(columns, row, strict=True))) for number, row in enumerate(rows, start=1))


def _answers(path: str, content: bytes, wanted: Collection[str]) -> Iterator[dict[str, Any]]:
    """What the child says before its last word, line by line."""
    with tempfile.TemporaryFile(prefix="edgetune-") as file:
        file.write(content)
        file.seek(0)
        process = child_process.start(
            "edgetune.modules.data.parquet", *wanted, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            answer = json.loads(line)
            if "refused" in answer:
                raise DataError(f"{path} {answer['refused']}", answer["remedy"])
            if "end" in answer:
                return
            yield answer
        how = child_process.ending(process.wait())
        raise DataError(f"{path} cannot be read as Parquet: it ended the process that read it ({how})", _WRITE_ANEW)
    finally:  # also where no more rows are asked for
        process.kill()
        process.stdout.close()
        process.wait()


def main() -> None:
    """The child."""
    content = sys.stdin.buffer.read()
    most = _MEMORY + 2 * len(content)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        for answer in _read(content, sys.argv[1:]):
            print(json.dumps(answer))
    except DataError as error:
        print(json.dumps({"refused": error.cause, "remedy": error.remedy}))
    else:
        print(json.dumps({"end": True}))


def _read(content: bytes, wanted: list[str]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet

    guard_arrow()
    try:
        # Not one thread of Arrow's: where one lets go of bytes of Python's while the interpreter ends, the process
        # aborts (apache/arrow#34314). A list gains nothing by them.
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        yield {"names": list(file.schema_arrow.names)}
        for field in file.schema_arrow:
            if field.name in wanted and not _is_plain(field.type):
                raise DataError(f"has a column {field.name} of type {field.type}", "write it as text")
        columns = [name for name in file.schema_arrow.names if name in wanted]
        for batch in file.iter_batches(_ROWS, columns=columns, use_threads=False):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if any(isinstance(value, str) and len(value) > _LONGEST for value in row):
                    raise DataError(f"has a value of more than {_LONGEST} characters", "write paths and labels only")
                yield {"row": row}
    except DataError:
        raise
    except RuntimeError as error:  # the guard's
        cause = "has a column of a type that brings Python code, and none is run"
        raise DataError(cause, "write path, label and split as text, and nothing else") from error
    except MemoryError as error:
        raise DataError("unpacks to more than a list of images can have", _WRITE_ANEW) from error
    # UnicodeDecodeError, which is a ValueError, comes of text that is not UTF-8.
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"cannot be read as Parquet: {reason}", _WRITE_ANEW) from error


def _is_plain(kind: pa.DataType) -> bool:
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
    return any(test(kind) for test in (*tests, types.is_null))


if __name__ == "__main__":
    main()
