"""The answers of a SavedModel to every test image, as the Evaluator keeps them in the `evaluation` artifact.

They are Parquet files beside TFMA's results, `answers-SSSSS-of-NNNNN.parquet`: shard S of N, written by Beam. Those of
CrossValidator, to the images of all splits, have the same format and a shard for each fold. The rows are in no
particular order:

    image_id       string         SHA-256 of the image's decoded pixels, 64 hexadecimal digits, as in the raw examples;
                                  one that occurs twice belongs to two files with the same pixels
    label          string         the image's class name when the model was evaluated
    predicted      string         the class with the highest probability
    probabilities  list<float32>  one for each class, in the order of the SavedModel's `labels.txt`

An evaluation by an edgetune that kept no answers has no such file.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from edgetune.modules.core.errors import DataError
from edgetune.modules.core.generation import guard_arrow
from edgetune.modules.storage import filesystem

PREFIX, SUFFIX = "answers", ".parquet"
TEXTS = ("image_id", "label", "predicted")
PROBABILITIES = "probabilities"
SCHEMA = pa.schema([*((name, pa.string()) for name in TEXTS), (PROBABILITIES, pa.list_(pa.float32()))])

_SHARD = re.compile(rf"{PREFIX}-(\d{{5,}})-of-(\d{{5,}}){re.escape(SUFFIX)}")
_AGAIN = "run the Evaluator again: `edgetune run` without its cache"


@dataclass(frozen=True)
class Answers:
    """Answers to N images, sorted by `image_id`."""

    image_id: np.ndarray
    """str `[N]`."""
    label: np.ndarray
    """str `[N]`: the true class."""
    predicted: np.ndarray
    """str `[N]`."""
    probabilities: np.ndarray | None = None
    """float32 `[N, C]`; None if they were not read."""

    def __len__(self) -> int:
        return len(self.image_id)

    @property
    def correct(self) -> np.ndarray:
        """Whether each answer is right: bool `[N]`."""
        return np.asarray(self.label == self.predicted, bool)


def read_answers(evaluation: str, probabilities: bool = True) -> Answers:
    """Read all answers of an evaluation.

    Args:
        evaluation: Folder or URL of a `ModelEvaluation` artifact.
        probabilities: Whether to read the probabilities too: four bytes for each class of each image.

    Raises:
        DataError: There are none, a shard is missing, left from another writing, damaged, or not in the format above.
    """
    guard_arrow()
    columns = [*TEXTS, *([PROBABILITIES] if probabilities else [])]
    wanted = pa.schema([SCHEMA.field(name) for name in columns])
    tables = []
    for path in shards(evaluation):
        try:
            table = pq.read_table(pa.BufferReader(filesystem.read(path)), columns=columns)
            tables.append(table.select(columns).cast(wanted))
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise DataError(f"{path}: cannot be read as answers ({type(error).__name__})", _AGAIN) from None
    table = pa.concat_tables(tables).combine_chunks()
    if any(table[name].null_count for name in columns):
        raise DataError(f"{evaluation}: an answer is incomplete", _AGAIN)
    image_id, label, predicted = (table[name].to_numpy() for name in TEXTS)
    order = np.argsort(image_id, kind="stable")
    scores = _matrix(table[PROBABILITIES], evaluation)[order] if probabilities else None
    return Answers(image_id[order], label[order], predicted[order], scores)


def table(
    image_id: Sequence[str], label: Sequence[str], predicted: Sequence[str], probabilities: np.ndarray
) -> pa.Table:
    """Return answers to n images in the format above; `probabilities` is float32 `[n, C]`."""
    return pa.table([pa.array(image_id), pa.array(label), pa.array(predicted), pa.array(list(probabilities))], SCHEMA)


@contextlib.contextmanager
def shard_writer(evaluation: str, number: int, of: int, temporary: Path) -> Iterator[pq.ParquetWriter]:
    """Write one of several shards, in a context: it appears when all of it is written.

    Args:
        evaluation: Folder or URL, which exists.
        number: Number of the shard, from 0.
        of: Number of shards.
        temporary: Folder on a local disk.

    Raises:
        OSError: The shard cannot be written.
    """
    name = f"{PREFIX}-{number:05}-of-{of:05}{SUFFIX}"
    with pq.ParquetWriter(temporary / name, SCHEMA) as writer:
        yield writer
    filesystem.copy(temporary / name, f"{evaluation}/{name}")
    (temporary / name).unlink()


def shards(evaluation: str) -> list[str]:
    """Return the paths of all shards of the answers in an evaluation.

    Raises:
        DataError: There are none, or they are not one complete set.
    """
    try:
        found = [match for name in filesystem.names(evaluation) if (match := _SHARD.fullmatch(name))]
    except OSError as error:
        raise DataError(f"{evaluation}: cannot be read ({filesystem.error_line(error)})", _AGAIN) from None
    if not found:
        raise DataError(f"{evaluation}: has no answers", _AGAIN)
    counts = {int(match[2]) for match in found}
    if len(counts) > 1 or sorted(int(match[1]) for match in found) != list(range(*counts)):
        names = ", ".join(match[0] for match in found[:5])
        raise DataError(f"{evaluation}: the shards are not one complete set: {names}", _AGAIN)
    return [f"{evaluation}/{match[0]}" for match in found]


def _matrix(column: pa.ChunkedArray, evaluation: str) -> np.ndarray:
    """Return lists of one length as float32 `[N, C]`."""
    rows = len(column)
    flat = np.concatenate([np.zeros(0, np.float32), *(chunk.flatten().to_numpy() for chunk in column.chunks)])
    lengths = {int(length) for chunk in column.chunks for length in np.unique(chunk.value_lengths().to_numpy())}
    if len(lengths) > 1:
        raise DataError(f"{evaluation}: answers have different numbers of classes: {sorted(lengths)}", _AGAIN)
    return flat.reshape(rows, len(flat) // rows if rows else 0)
