"""In which split earlier runs put each image: what keeps an image where it is.

    <pipeline root>/split_memory/latest        name of the current version
    <pipeline root>/split_memory/<version>/    text, `<image id> <split>` in each line, 64 hexadecimal digits and a name

It stands beside the artifacts and not among them: as an input it would be part of TFX's cache key, so each run would
change the key of the next, and unchanged data would never be served from the cache. Whoever removes the folder has all
images placed anew. Images that are gone are remembered too: what comes back goes where it was.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator

import apache_beam as beam
import tensorflow as tf

from edgetune.components.image_example_gen.grouping import Placed

_LATEST = "latest"


def read(pipeline: beam.Pipeline, folder: str) -> beam.PCollection:
    """Pairs of an image's id and its split; none where no run was before."""
    if not folder or not tf.io.gfile.exists(f"{folder}/{_LATEST}"):
        return pipeline | "NoMemory" >> beam.Create([])
    with tf.io.gfile.GFile(f"{folder}/{_LATEST}") as file:
        version = file.read().strip()
    return pipeline | "Memory" >> beam.io.ReadFromText(f"{folder}/{version}/*") | "Remembered" >> beam.Map(_pair)


def write(memory: beam.PCollection, placed: beam.PCollection, folder: str) -> str:
    """Writes what was known and what is new as a version that is not yet the current one.

    Returns:
        The version's name, for `commit`.
    """
    version = uuid.uuid4().hex
    (
        {"memory": memory, "placed": placed | "PlacedById" >> beam.Map(lambda image: (image.id, image))}
        | "Remember" >> beam.CoGroupByKey()
        | "MemoryLine" >> beam.FlatMapTuple(_line)
        | "WriteMemory" >> beam.io.WriteToText(f"{folder}/{version}/part")
    )
    return version


def commit(folder: str, version: str) -> None:
    """Makes a version the current one; the others are removed."""
    beside = f"{folder}/{_LATEST}-{version}"
    with tf.io.gfile.GFile(beside, "w") as file:
        file.write(version)
    tf.io.gfile.rename(beside, f"{folder}/{_LATEST}", overwrite=True)
    for name in (name.rstrip("/") for name in tf.io.gfile.listdir(folder)):
        if name not in (_LATEST, version):
            path = f"{folder}/{name}"
            (tf.io.gfile.rmtree if tf.io.gfile.isdir(path) else tf.io.gfile.remove)(path)


def _pair(line: str) -> tuple[bytes, str]:
    identifier, split = line.split(" ")
    return bytes.fromhex(identifier), split


def _line(identifier: bytes, found: dict[str, Iterable]) -> Iterator[str]:
    placed: list[Placed] = list(found["placed"])
    split = placed[0].split if placed else next(iter(found["memory"]))
    yield f"{identifier.hex()} {split}"
