"""Images that are laid aside come back complete, each in its place, and none that a failed worker left behind."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow as tf

from edgetune.components.image_example_gen import staging
from edgetune.components.image_example_gen.grouping import LeftOut, Placed
from edgetune.components.image_example_gen.near_duplicates import File
from edgetune.components.image_example_gen.raw_example import Read
from edgetune.components.image_example_gen.staging import LayAside, PutInPlace

IMAGES = 8


def read(number: int) -> Read:
    features = tf.train.Features(feature={"n": tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))})
    return Read(tf.train.Example(features=features).SerializeToString(), f"{number:064x}", f"{number}.jpg", "a", b"s")


def lay(folder: Path, monkeypatch: pytest.MonkeyPatch, split: str = "") -> list[File]:
    """Files of images 0 to 7, in their order, at most three of them laid into one file."""
    monkeypatch.setattr(staging, "IMAGES_IN_A_FILE", 3)
    worker = LayAside(str(folder / "images"), split)
    worker.start_bundle()
    facts = [fact for number in range(IMAGES) for fact in worker.process(read(number))]
    facts += [windowed.value for windowed in worker.finish_bundle()]
    assert [identifier for identifier, _ in facts] == [bytes.fromhex(f"{number:064x}") for number in range(IMAGES)]
    assert {signature for _, (_, signature) in facts} == {b"s"}
    return [file for _, (file, _) in facts]


def put(placed: list[Placed], left_out: list[LeftOut], folder: Path) -> dict[str, list[tuple[int, str]]]:
    """Number and group of each image, by split."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        inputs = (pipeline | "Placed" >> beam.Create(placed), pipeline | "LeftOut" >> beam.Create(left_out))
        images = inputs | PutInPlace(["train", "test"])
        for split in ("train", "test"):
            (
                images[split]
                | f"Line[{split}]" >> beam.Map(_line)
                | f"Write[{split}]" >> beam.io.WriteToText(str(folder / f"put-{split}"))
            )
    lines = {
        split: [line for path in folder.glob(f"put-{split}-*") for line in path.read_text().splitlines()]
        for split in ("train", "test")
    }
    return {
        split: sorted((int(line.split(" ")[0]), line.split(" ")[1]) for line in found) for split, found in lines.items()
    }


def _line(example: tf.train.Example) -> str:
    features = example.features.feature
    [group] = features["split_group"].bytes_list.value
    return f"{features['n'].int64_list.value[0]} {group.decode()}"


def place(number: int, split: str, *files: File) -> Placed:
    return Placed(bytes([number]), bytes([number]), split, files)


def test_each_image_goes_to_its_split_with_its_group(tmp_path, monkeypatch):
    files = lay(tmp_path, monkeypatch)
    assert len({file.laid for file in files}) == 3 and [file.row for file in files] == [0, 1, 2, 0, 1, 2, 0, 1]
    (tmp_path / "images-left-by-a-failed-worker").write_bytes(b"half a record")
    placed = [place(n, "test" if n % 2 else "train", file) for n, file in enumerate(files)]
    assert put(placed[::-1], [], tmp_path) == {
        "train": [(n, f"{n:02x}") for n in range(0, IMAGES, 2)],
        "test": [(n, f"{n:02x}") for n in range(1, IMAGES, 2)],
    }


def test_files_of_equal_pixels_go_together_and_what_is_left_out_goes_nowhere(tmp_path, monkeypatch):
    files = lay(tmp_path, monkeypatch)
    placed = [place(1, "train", files[0], files[4]), *(place(n, "test", files[n]) for n in (1, 2, 3, 5, 6, 7))]
    found = put(placed, [LeftOut(files[4], "why"), LeftOut(files[7], "why")], tmp_path)
    assert found["train"] == [(0, "01")] and [number for number, _ in found["test"]] == [1, 2, 3, 5, 6]


def test_splits_of_the_users_own_are_kept(tmp_path, monkeypatch):
    files = lay(tmp_path, monkeypatch, "test")
    found = put([place(n, "", file) for n, file in enumerate(files)], [], tmp_path)
    assert found["train"] == [] and len(found["test"]) == IMAGES


@pytest.mark.parametrize("missing", [0, 1, 7])
def test_an_image_of_which_nothing_is_known_is_an_error_and_not_lost(tmp_path, monkeypatch, missing):
    files = lay(tmp_path, monkeypatch)
    placed = [place(n, "train", file) for n, file in enumerate(files) if n != missing]
    with pytest.raises(RuntimeError, match=f"the image in row {missing % 3} is to be placed"):
        put(placed, [], tmp_path)


def test_a_file_that_lost_its_end_is_an_error(tmp_path, monkeypatch):
    files = lay(tmp_path, monkeypatch)
    path = Path(files[0].laid)
    placed = [place(n, "train", file) for n, file in enumerate(files)]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(RuntimeError, match="3 images are to be placed, and it holds 1"):
        put(placed, [], tmp_path)
    path.write_bytes(content[:-3])
    with pytest.raises(Exception, match="cut short"):
        put(placed, [], tmp_path)
