"""Split a folder of photographs 8 : 1 : 1 in each class, and write it as Transform would, for benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from edgetune.modules.contracts.example_features import IMAGE, LABEL_INDEX, SPLITS
from edgetune.modules.examples import shards
from edgetune.modules.examples.pixel_packing import pack
from edgetune.modules.images import decode


@dataclass(frozen=True)
class Photograph:
    """A file and the index of its class."""

    path: Path
    label: int


def photographs(folder: Path, turn: int = 0) -> dict[str, list[Photograph]]:
    """Return the images of `folder/<class>/*` by split: of each ten by name, one for eval and one for test.

    Args:
        folder: Folder of the class folders.
        turn: Selects which photographs these are; over ten turns, every photograph is in the test split once.
    """
    found: dict[str, list[Photograph]] = {split: [] for split in SPLITS}
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    for label, class_folder in enumerate(classes):
        for number, path in enumerate(sorted(class_folder.iterdir())):
            split = {8: "eval", 9: "test"}.get((number - turn) % 10, "train")
            found[split].append(Photograph(path, label))
    return found


def write_transformed(found: dict[str, list[Photograph]], image_size: int, folder: Path) -> str:
    """Write transformed examples as the component Transform does, and return the URI of the artifact."""
    for split, part in found.items():
        split_folder = folder / f"Split-{split}"
        split_folder.mkdir(parents=True)
        paths = tf.data.Dataset.from_tensor_slices([str(photo.path) for photo in part])
        decoded = paths.map(
            lambda path: decode.decode(tf.io.read_file(path), image_size), num_parallel_calls=tf.data.AUTOTUNE
        )
        with tf.io.TFRecordWriter(
            str(split_folder / "data-00000-of-00001.gz"), tf.io.TFRecordOptions("GZIP")
        ) as writer:
            for photo, pixels in zip(part, decoded.as_numpy_iterator(), strict=True):
                features = {
                    IMAGE: tf.train.Feature(bytes_list=tf.train.BytesList(value=[pack(pixels.tobytes())])),
                    LABEL_INDEX: tf.train.Feature(int64_list=tf.train.Int64List(value=[photo.label])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
    shards.write(str(folder), {split: len(part) for split, part in found.items()})
    return str(folder)
