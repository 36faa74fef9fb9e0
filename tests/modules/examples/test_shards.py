"""Exactly the shards that were written are read; anything else in the folder is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgetune.modules.core.errors import DataError
from edgetune.modules.examples import shards
from tests.helpers.damaged_folders import DAMAGES


def write_shards(folder: Path, split: str, total: int, prefix: str = "data") -> None:
    place = folder / f"Split-{split}"
    place.mkdir(parents=True, exist_ok=True)
    for number in range(total):
        (place / f"{prefix}-{number:05}-of-{total:05}.gz").write_bytes(b"x" * (number + 1))


@pytest.fixture
def folder(tmp_path) -> Path:
    write_shards(tmp_path, "train", 3)
    write_shards(tmp_path, "test", 1)
    return tmp_path


RECORDS = {"train": 70, "test": 5}


def test_names_sizes_and_counts_are_recorded_and_the_folder_passes(folder):
    digest = shards.write(str(folder), RECORDS)
    recorded = json.loads((folder / "shards.json").read_text())
    sizes = {f"data-{number:05}-of-00003.gz": number + 1 for number in range(3)}
    assert recorded["train"] == {"records": 70, "shards": sizes}
    assert shards.check(str(folder), digest) == RECORDS
    assert shards.files(str(folder), "train") == [f"{folder}/Split-train/{name}" for name in sizes]
    assert (shards.count(str(folder), "train"), shards.count(str(folder), "eval")) == (70, 0)
    assert shards.files(str(folder), "eval") == []


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_folder_that_differs_is_refused_with_path_and_remedy(folder, kind):
    digest = shards.write(str(folder), RECORDS)
    before = shards.files(str(folder), "test")
    damage, cause = DAMAGES[kind]
    path = damage(folder)
    with pytest.raises(DataError) as caught:
        shards.check(str(folder), digest)
    assert caught.value.cause.startswith(f"{path}: ") and cause in caught.value.cause
    assert "run again with --no-cache" in caught.value.remedy
    if kind != "no record":
        assert shards.files(str(folder), "test") == before


def test_an_artifact_without_a_digest_is_refused(folder):
    shards.write(str(folder), RECORDS)
    with pytest.raises(DataError, match="is not the file that was written with the artifact"):
        shards.check(str(folder), "")


def test_a_damaged_record_is_refused(folder):
    (folder / "shards.json").write_text("{")
    with pytest.raises(DataError, match="shards.json: is damaged"):
        shards.files(str(folder), "train")


@pytest.mark.parametrize(("total", "prefix"), [(1, "data"), (2, "data"), (1, "other")])
def test_a_writer_does_not_record_what_it_cannot_have_written(folder, total, prefix):
    write_shards(folder, "train", total, prefix)
    with pytest.raises(DataError, match="Split-train: is not the output of one writer: data-00000-of-0000"):
        shards.write(str(folder), RECORDS)
    (folder / "Split-test" / "notes.txt").touch()
    with pytest.raises(DataError, match="Split-t.*"):
        shards.write(str(folder), {"test": 5})
    assert not (folder / "shards.json").exists()


def test_a_lost_shard_is_not_recorded(folder):
    (folder / "Split-train" / "data-00002-of-00003.gz").unlink()
    with pytest.raises(DataError, match="is not the output of one writer"):
        shards.write(str(folder), RECORDS)
    (folder / "Split-empty").mkdir()
    with pytest.raises(DataError, match="is not the output of one writer: empty"):
        shards.write(str(folder), {"empty": 0})


def test_temporary_folders_of_beam_are_removed(folder):
    temporary = folder / "Split-train" / "beam-temp-data-1f"
    temporary.mkdir()
    (temporary / "part").touch()
    digest = shards.write(str(folder), RECORDS)
    assert not temporary.exists()
    assert shards.check(str(folder), digest) == RECORDS
