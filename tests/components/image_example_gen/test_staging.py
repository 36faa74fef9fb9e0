"""Staging: images go to their splits complete, and files left behind by failed workers are ignored."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow as tf

from edgetune.components.image_example_gen import staging
from edgetune.components.image_example_gen.grouping import AssignedImage, LeftOut
from edgetune.components.image_example_gen.near_duplicates import File
from edgetune.components.image_example_gen.raw_example import RawExample
from edgetune.components.image_example_gen.staging import StageImages, UnstageImages

IMAGES = 8


def raw_example(number: int) -> RawExample:
    features = tf.train.Features(feature={"n": tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))})
    content = tf.train.Example(features=features).SerializeToString()
    return RawExample(content, f"{number:064x}", f"{number}.jpg", "a", b"s")


def stage(folder: Path, monkeypatch: pytest.MonkeyPatch, split: str = "") -> list[File]:
    """Stage images 0 to 7, at most three in a staging file, and return their files in order."""
    monkeypatch.setattr(staging, "IMAGES_IN_A_FILE", 3)
    worker = StageImages(str(folder / "images"), split)
    worker.start_bundle()
    facts = [fact for number in range(IMAGES) for fact in worker.process(raw_example(number))]
    facts += [windowed.value for windowed in worker.finish_bundle()]
    assert [identifier for identifier, _ in facts] == [bytes.fromhex(f"{number:064x}") for number in range(IMAGES)]
    assert {signature for _, (_, signature) in facts} == {b"s"}
    return [file for _, (file, _) in facts]


def unstage(assigned: list[AssignedImage], left_out: list[LeftOut], folder: Path) -> dict[str, list[tuple[int, str]]]:
    """Return number and group of each image, by split."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        inputs = (pipeline | "Assigned" >> beam.Create(assigned), pipeline | "LeftOut" >> beam.Create(left_out))
        images = inputs | UnstageImages(["train", "test"])
        for split in ("train", "test"):
            (
                images[split]
                | f"Line[{split}]" >> beam.Map(_line)
                | f"Write[{split}]" >> beam.io.WriteToText(str(folder / f"lines-{split}"))
            )
    lines = {
        split: [line for path in folder.glob(f"lines-{split}-*") for line in path.read_text().splitlines()]
        for split in ("train", "test")
    }
    return {
        split: sorted((int(line.split(" ")[0]), line.split(" ")[1]) for line in found) for split, found in lines.items()
    }


def _line(example: tf.train.Example) -> str:
    features = example.features.feature
    [group] = features["split_group"].bytes_list.value
    return f"{features['n'].int64_list.value[0]} {group.decode()}"


def assign(number: int, split: str, *files: File) -> AssignedImage:
    return AssignedImage(bytes([number]), bytes([number]), split, files)


def test_each_image_goes_to_its_split_with_its_group(tmp_path, monkeypatch):
    files = stage(tmp_path, monkeypatch)
    assert len({file.staged for file in files}) == 3 and [file.row for file in files] == [0, 1, 2, 0, 1, 2, 0, 1]
    (tmp_path / "images-left-by-a-failed-worker").write_bytes(b"half a record")
    assigned = [assign(n, "test" if n % 2 else "train", file) for n, file in enumerate(files)]
    assert unstage(assigned[::-1], [], tmp_path) == {
        "train": [(n, f"{n:02x}") for n in range(0, IMAGES, 2)],
        "test": [(n, f"{n:02x}") for n in range(1, IMAGES, 2)],
    }


def test_files_of_equal_pixels_go_to_one_split_and_files_left_out_go_to_none(tmp_path, monkeypatch):
    files = stage(tmp_path, monkeypatch)
    assigned = [assign(1, "train", files[0], files[4]), *(assign(n, "test", files[n]) for n in (1, 2, 3, 5, 6, 7))]
    found = unstage(assigned, [LeftOut(files[4], "why"), LeftOut(files[7], "why")], tmp_path)
    assert found["train"] == [(0, "01")] and [number for number, _ in found["test"]] == [1, 2, 3, 5, 6]


def test_user_defined_splits_are_kept(tmp_path, monkeypatch):
    files = stage(tmp_path, monkeypatch, "test")
    found = unstage([assign(n, "", file) for n, file in enumerate(files)], [], tmp_path)
    assert found["train"] == [] and len(found["test"]) == IMAGES


@pytest.mark.parametrize("missing", [0, 1, 7])
def test_a_staged_image_without_a_target_split_is_an_error(tmp_path, monkeypatch, missing):
    files = stage(tmp_path, monkeypatch)
    assigned = [assign(n, "train", file) for n, file in enumerate(files) if n != missing]
    with pytest.raises(RuntimeError, match=f"the image in row {missing % 3} has no target split"):
        unstage(assigned, [], tmp_path)


def test_a_truncated_staging_file_is_an_error(tmp_path, monkeypatch):
    files = stage(tmp_path, monkeypatch)
    path = Path(files[0].staged)
    assigned = [assign(n, "train", file) for n, file in enumerate(files)]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(RuntimeError, match="3 images have a target split, but the file holds 1"):
        unstage(assigned, [], tmp_path)
    path.write_bytes(content[:-3])
    with pytest.raises(Exception, match="cut short"):
        unstage(assigned, [], tmp_path)
