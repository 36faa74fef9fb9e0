"""Containers as inputs for `fuzz_reader`: records, lists, bundles, labels, weights and configurations.

An input is the path of a damaged file of one kind. Its reader may raise only the error of its kind.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import json
import lzma
import random
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.programs.fuzz_seeds import damage, generated
from tests.tiny import pipeline_spec

_PARQUET_EVERY = 50
"""Parquet is read in a process of its own, which takes as long as hundreds of the others."""


@dataclass(frozen=True)
class Kind:
    """A kind of container."""

    suffix: str
    seeds: Callable[[], list[bytes]]
    """Undamaged files."""
    read: Callable[[Path], Any]
    refused: tuple[str, ...]
    """Names of the errors that refuse a file."""


def name_of(number: int) -> str:
    """Return the kind of the input of this number."""
    names = [name for name in KINDS if name != "parquet"]
    return "parquet" if number % _PARQUET_EVERY == _PARQUET_EVERY - 1 else names[number % len(names)]


def damaged(number: int, seed: int) -> bytes:
    """Return the input of this number."""
    seeds = _seeds(name_of(number))
    dice = random.Random(f"{seed} {number}")
    return bytes(damage(bytearray(dice.choice(seeds)), dice, seeds))


def look(number: int, content: bytes) -> tuple[str, str]:
    """Return the reason if an input was refused, and what is wrong otherwise."""
    kind = KINDS[name_of(number)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{kind.suffix}")
        path.write_bytes(content)
        try:
            kind.read(path)
        except Exception as error:
            if type(error).__name__ not in kind.refused:
                raise
            return f"{name_of(number)}: {type(error).__name__}", ""
    return "", ""


@functools.cache
def _seeds(name: str) -> list[bytes]:
    return KINDS[name].seeds()


def _examples() -> list[bytes]:
    import tensorflow as tf

    def feature(value: bytes | int) -> tf.train.Feature:
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    images = list(generated().values())[:4]
    pairs = zip(images, (b"oak", 3, b"elm", 0), strict=True)
    features = [tf.train.Features(feature={"image": feature(i), "label": feature(label)}) for i, label in pairs]
    return [tf.train.Example(features=each).SerializeToString() for each in features]


def _records() -> list[bytes]:
    from apache_beam.io.tfrecordio import _TFRecordUtil

    file = io.BytesIO()
    for example in _examples():
        _TFRecordUtil.write_record(file, example)
    plain = file.getvalue()
    return [plain, gzip.compress(plain, mtime=0), bz2.compress(plain), lzma.compress(plain)]


def _read_records(path: Path) -> None:
    from edgetune.modules.data.tfrecords import Bounds, read_records

    for _ in read_records(str(path), Bounds(1 << 20, records=1000)):
        pass


def _read_example(path: Path) -> None:
    from edgetune.components.image_example_gen.raw_example import RecordFeatures, from_record
    from edgetune.modules.images.reading import Reading

    from_record(path.read_bytes(), "record", RecordFeatures("image", "label"), Reading(1_000_000, 64))


def _read_list(path: Path) -> None:
    from edgetune.modules.data.manifests import read_manifest
    from edgetune.modules.data.sources import SPLIT_OF

    read_manifest(str(path), SPLIT_OF)


def _parquets() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet

    table = pa.table({"path": [f"{n}.jpg" for n in range(40)], "label": ["oak", "elm"] * 20, "split": ["train"] * 40})
    written = []
    for packing in ("none", "snappy", "zstd"):
        file = io.BytesIO()
        pyarrow.parquet.write_table(table, file, compression=packing)
        written.append(file.getvalue())
    return written


def _bundle_file(name: str) -> list[bytes]:
    frozen = Path(__file__).resolve().parents[1] / "frozen" / "0.1.0" / "bundle"
    return [(frozen / name).read_bytes()]


def _read_bundle_json(path: Path) -> None:
    from edgetune.modules.contracts.bundle import parse_bundle

    parse_bundle(path.read_bytes())


def _read_expected(path: Path) -> None:
    from edgetune.modules.contracts.bundle import parse_expected

    parse_expected(path.read_bytes())


def _read_sums(path: Path) -> None:
    from edgetune.modules.bundle.files import BundleFiles, checksum_problems

    path.rename(path.with_name("SHA256SUMS"))
    checksum_problems(BundleFiles(path.parent))


def _labelled() -> list[bytes]:
    file = io.BytesIO(b"\x1c\0\0\0TFL3" + bytes(200))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", "oak\nelm\n" * 50)
    return [file.getvalue()]


def _read_labels(path: Path) -> None:
    from edgetune.modules.litert.metadata import read_labels

    read_labels(path.read_bytes())


def _read_class_names(path: Path) -> None:
    from edgetune.modules.data.tfds import class_names

    path.rename(path.with_name("label.labels.txt"))
    class_names(str(path.parent), "label")


def _configurations() -> list[bytes]:
    folder = Path(__file__).resolve().parents[2] / "configs"
    return [path.read_bytes() for path in sorted(folder.glob("*.yaml"))]


def _read_configuration(path: Path) -> None:
    from edgetune.pipeline.config.load import load

    load(path, [], None)


def _specifications() -> list[bytes]:
    return [json.dumps(pipeline_spec.document()).encode()]


def _read_specification(path: Path) -> None:
    from edgetune.pipeline.submit.specification import read

    read(path)


@functools.cache
def _network() -> Any:
    import keras

    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="one"), keras.layers.Dense(2, name="two")])


def _safetensors() -> list[bytes]:
    import numpy as np
    import safetensors.numpy

    layers = {"one": (4, 3), "two": (3, 2)}
    tensors = {f"{name}/kernel": np.ones(shape, np.float32) for name, shape in layers.items()}
    return [safetensors.numpy.save(tensors | {f"{n}/bias": np.ones(s[1], np.float32) for n, s in layers.items()})]


def _h5(keras_3: bool) -> list[bytes]:
    import h5py
    import numpy as np

    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        for number, shape in enumerate([(4, 3), (3, 2)]):
            values = [np.ones(shape, np.float32), np.ones(shape[1], np.float32)]
            if keras_3:
                for index, value in enumerate(values):
                    name = f"layers/dense{f'_{number}' if number else ''}/vars/{index}"
                    h5.create_dataset(name, data=value, chunks=value.shape, compression="gzip")
            else:
                group = h5.create_group(("one", "two")[number])
                group.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
                for name, value in zip(("kernel:0", "bias:0"), values, strict=True):
                    group[name] = value
        if not keras_3:
            h5.attrs["layer_names"] = [b"one", b"two"]
    return [file.getvalue()]


def _read_weights(path: Path) -> None:
    from edgetune.modules.models.weight_formats import UnreadableWeights, file_format, stored_layers

    with stored_layers(path.read_bytes(), str(file_format(path.name)), _network()) as stored:
        for layer in stored:
            for array in layer.arrays:
                if max([0, *array.shape]) > 4:  # as no network has; `assign_weights` compares before it reads
                    continue
                try:
                    array[()]
                except (OSError, RuntimeError) as error:
                    raise UnreadableWeights(str(error)) from error


KINDS = {
    "records": Kind(".tfrecord", _records, _read_records, ("Damaged",)),
    "example": Kind("", _examples, _read_example, ()),
    "csv": Kind(
        ".csv", lambda: [b'path,label,split\na.jpg,oak,train\n"b,c.jpg",elm,test\n'], _read_list, ("DataError",)
    ),
    "parquet": Kind(".parquet", _parquets, _read_list, ("DataError",)),
    "bundle.json": Kind(".json", lambda: _bundle_file("bundle.json"), _read_bundle_json, ("BundleError",)),
    "expected.json": Kind(".json", lambda: _bundle_file("golden/expected.json"), _read_expected, ("BundleError",)),
    "SHA256SUMS": Kind("", lambda: _bundle_file("SHA256SUMS"), _read_sums, ("BundleError",)),
    "labels in .tflite": Kind(".tflite", _labelled, _read_labels, ()),
    "class names": Kind(".txt", lambda: [b"oak\nelm\n"], _read_class_names, ("DataError",)),
    "configuration": Kind(".yaml", _configurations, _read_configuration, ("ConfigError",)),
    "compiled pipeline": Kind(".json", _specifications, _read_specification, ("ConfigError",)),
    "safetensors": Kind(".safetensors", _safetensors, _read_weights, ("UnreadableWeights",)),
    ".weights.h5": Kind(".weights.h5", lambda: _h5(keras_3=True), _read_weights, ("UnreadableWeights",)),
    ".h5": Kind(".h5", lambda: _h5(keras_3=False), _read_weights, ("UnreadableWeights",)),
}
