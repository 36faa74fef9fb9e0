"""Reading of the answers that the Evaluator keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edgetune.modules.core.errors import DataError
from edgetune.modules.evaluation.answers import SCHEMA, read_answers


def write(folder: Path, shard: int, of: int, ids: str, schema: pa.Schema = SCHEMA, classes: int = 2) -> Path:
    """Write a shard with an image for each letter; images are of class `a` and the answer is `b`."""
    values = {
        "image_id": list(ids),
        "label": ["a"] * len(ids),
        "predicted": ["b"] * len(ids),
        "probabilities": [[ord(letter) / 1000] * classes for letter in ids],
    }
    path = folder / f"answers-{shard:05d}-of-{of:05d}.parquet"
    pq.write_table(pa.table({field.name: pa.array(values[field.name], field.type) for field in schema}), path)
    return path


def test_all_shards_are_read_and_sorted(tmp_path):
    for shard, ids in enumerate(("cz", "", "ab")):
        write(tmp_path, shard, 3, ids)
    (tmp_path / "metrics-00000-of-00001.tfrecord").touch()
    found = read_answers(str(tmp_path))
    assert found.image_id.tolist() == ["a", "b", "c", "z"]
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities, [[0.097] * 2, [0.098] * 2, [0.099] * 2, [0.122] * 2])
    assert found.correct.tolist() == [False] * 4 and len(found) == 4
    assert read_answers(str(tmp_path), probabilities=False).probabilities is None


def test_an_evaluation_of_no_images_has_no_answers(tmp_path):
    write(tmp_path, 0, 1, "")
    assert len(read_answers(str(tmp_path))) == 0


def planted(folder: Path) -> None:
    write(folder, 0, 1, "a")
    write(folder, 0, 2, "b")


def damaged(folder: Path) -> None:
    path = write(folder, 0, 1, "abc")
    path.write_bytes(path.read_bytes()[:-20])


def short(folder: Path) -> None:
    write(folder, 0, 2, "a", classes=2)
    write(folder, 1, 2, "b", classes=3)


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda folder: None, "has no answers"),
        (lambda folder: folder.rmdir(), "cannot be read"),
        (lambda folder: write(folder, 1, 2, "a"), "not one complete set"),
        (planted, "not one complete set: answers-00000-of-00001.parquet, answers-00000-of-00002.parquet"),
        (damaged, "cannot be read as answers"),
        (lambda folder: write(folder, 0, 1, "a", pa.schema(list(SCHEMA)[:2])), "cannot be read as answers"),
        (short, r"different numbers of classes: \[2, 3\]"),
    ],
)
def test_anything_else_than_one_complete_set_is_an_error(tmp_path, spoil, cause):
    folder = tmp_path / "evaluation"
    folder.mkdir()
    spoil(folder)
    with pytest.raises(DataError, match=cause):
        read_answers(str(folder))
