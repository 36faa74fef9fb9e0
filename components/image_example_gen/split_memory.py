"""Remember the split of every image across runs, so that images stay in their splits.

    <pipeline root>/split_memory/latest        name of the current version
    <pipeline root>/split_memory/<version>/    text, `<id> <split>` on each line, 64 hexadecimal digits and a name

The id is that of an image, or of a group that `data.group` names (`modules.data.connected_groups.name_id`), whose new
images join its split also if all earlier ones are gone.

The memory is not an artifact: as an input it would be part of TFX's cache key, so each run would change the key of the
next, and unchanged data would never be served from the cache. If the folder is removed, all images are assigned anew.
Removed images are remembered too, and return to their old split if they come back.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator

import apache_beam as beam
import tensorflow as tf

from edgetune.components.image_example_gen.grouping import AssignedImage
from edgetune.modules.data.connected_groups import name_id, split_of_name

_LATEST = "latest"


def read(pipeline: beam.Pipeline, folder: str) -> beam.PCollection:
    """Read pairs of id and split; empty if there was no earlier run."""
    if not folder or not tf.io.gfile.exists(f"{folder}/{_LATEST}"):
        return pipeline | "NoMemory" >> beam.Create([])
    with tf.io.gfile.GFile(f"{folder}/{_LATEST}") as file:
        version = file.read().strip()
    return pipeline | "Memory" >> beam.io.ReadFromText(f"{folder}/{version}/*") | "Remembered" >> beam.Map(_pair)


def write(memory: beam.PCollection, assigned: beam.PCollection, folder: str) -> str:
    """Write old and new entries as a version that is not yet the current one.

    Returns:
        The version's name, for `commit`.
    """
    version = uuid.uuid4().hex
    inputs = {
        "memory": memory,
        "assigned": assigned | "AssignedById" >> beam.Map(lambda image: (image.id, image.split)),
        "named": assigned | "AssignedByName" >> beam.FlatMap(_of_names),
    }
    (
        inputs
        | "Remember" >> beam.CoGroupByKey()
        | "MemoryLine" >> beam.FlatMapTuple(_line)
        | "WriteMemory" >> beam.io.WriteToText(f"{folder}/{version}/part")
    )
    return version


def commit(folder: str, version: str) -> None:
    """Make a version the current one, and remove the others."""
    temporary = f"{folder}/{_LATEST}-{version}"
    with tf.io.gfile.GFile(temporary, "w") as file:
        file.write(version)
    tf.io.gfile.rename(temporary, f"{folder}/{_LATEST}", overwrite=True)
    for name in (name.rstrip("/") for name in tf.io.gfile.listdir(folder)):
        if name not in (_LATEST, version):
            path = f"{folder}/{name}"
            (tf.io.gfile.rmtree if tf.io.gfile.isdir(path) else tf.io.gfile.remove)(path)


def _pair(line: str) -> tuple[bytes, str]:
    identifier, split = line.split(" ")
    return bytes.fromhex(identifier), split


def _of_names(image: AssignedImage) -> Iterator[tuple[bytes, tuple[bool, str]]]:
    names = {file.group for file in image.files if file.group}
    if image.split:
        yield from ((name_id(name), (len(names) > 1, image.split)) for name in sorted(names))


def _line(identifier: bytes, found: dict[str, Iterable]) -> Iterator[str]:
    """Yield an image with its new split, and a name with the split that it had: that is never changed."""
    remembered = next(iter(found["memory"]), None)
    if named := list(found["named"]):
        split = remembered or split_of_name(named)
    else:
        split = next(iter(found["assigned"]), remembered)
    if split:
        yield f"{identifier.hex()} {split}"
