"""Read weights from files of three formats as plain arrays, without executing anything in the file.

safetensors    `.safetensors`, written by edgetune: `<layer name>/<variable name>`
weights_h5     `.weights.h5`, Keras 3's `save_weights`: layers by class and number
legacy_h5      `.h5`, Keras 1 and 2 and `keras.applications`: layers by name, in the order of the network
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import keras
import numpy as np
import safetensors
import safetensors.numpy

from edgetune.modules.core import bounds

FORMATS = {".safetensors": "safetensors", ".weights.h5": "weights_h5", ".h5": "legacy_h5", ".hdf5": "legacy_h5"}


class UnreadableWeights(Exception):
    """A file is not of its format, or has content that does not belong in a weights file."""


@dataclass(frozen=True)
class StoredLayer:
    """Stored weights of one layer."""

    name: str
    """Name of the layer in the file, if the file stores it."""
    arrays: tuple[Any, ...]
    """Arrays in the order of `layer.weights`. Each has `shape` and `dtype`; `array[()]` reads its values."""


def file_format(path: str) -> str | None:
    """Return the name of the format for the ending of `path`, or None."""
    return next((name for ending, name in FORMATS.items() if path.lower().endswith(ending)), None)


def weighted_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that have weights, in the order of the network."""
    return [layer for layer in model.layers if layer.weights]


def stable_names(model: keras.Model) -> dict[int, str]:
    """Return the names of the layers by their `id`, the same in every process.

    Keras numbers unnamed layers across everything that a process builds: the third convolution of a network may be
    `conv2d_96`. Here it is `conv2d_2`, as in a process that builds nothing else.
    """
    numbers: Counter[str] = Counter()
    names = {}
    for layer in model.layers:
        kind = _snake_case(type(layer).__name__)
        if re.fullmatch(rf"{kind}(_\d+)?", layer.name):
            names[id(layer)] = f"{kind}_{numbers[kind]}" if numbers[kind] else kind
            numbers[kind] += 1
        else:
            names[id(layer)] = layer.name
    return names


@contextmanager
def stored_layers(content: bytes, kind: str, model: keras.Model) -> Iterator[list[StoredLayer]]:
    """Open the layers stored in `content`, in the order of the network, for reading inside the context.

    Shapes are available before values are read, so that a file that claims huge arrays costs nothing until then.

    Args:
        content: The bytes of the file.
        kind: Result of `file_format`.
        model: The network that the weights are for. It determines the order in formats that store none; layers that it
            does not have come last.

    Raises:
        UnreadableWeights: The file is truncated, of another format, or refers to values in other files.
    """
    if kind == "safetensors":
        try:
            tensors = safetensors.numpy.load(content)
        except (safetensors.SafetensorError, KeyError, ValueError) as error:
            raise UnreadableWeights(str(error)) from error
        yield _by_layer_and_variable(tensors, model)
        return
    try:
        file = h5py.File(io.BytesIO(content), "r")
    except Exception as error:  # h5py raises almost anything on a damaged file
        raise UnreadableWeights(f"it is not an HDF5 file, or it is truncated: {error}") from error
    with file:
        datasets = _datasets(file)
        yield _by_class_and_number(datasets, model) if kind == "weights_h5" else _by_layer_names(file, datasets)


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.is_virtual or item.external:  # both make HDF5 read other local files into the network
            raise UnreadableWeights(f"the dataset {name} takes its values from another file")
        chunk = math.prod(item.chunks or ()) * item.dtype.itemsize if item.chunks else 0
        if chunk > max(item.nbytes, bounds.MAX_CHUNK):
            raise UnreadableWeights(f"the dataset {name} has {item.nbytes} bytes in a chunk of {chunk}")
        found[name] = item

    try:
        file.visititems(visit)  # soft and external links are not followed
    except UnreadableWeights:
        raise
    except Exception as error:
        raise UnreadableWeights(f"it is damaged: {error}") from error
    return found


def _by_layer_names(file: h5py.File, datasets: dict[str, h5py.Dataset]) -> list[StoredLayer]:
    try:
        # A file of a whole model has them one level deeper.
        prefix = "" if "layer_names" in file.attrs else "model_weights/"
        layers = [_text(name) for name in file[prefix or "/"].attrs["layer_names"]]
        variables = {layer: [_text(v) for v in file[prefix + layer].attrs["weight_names"]] for layer in layers}
        return [
            StoredLayer(layer, tuple(datasets[f"{prefix}{layer}/{name}"] for name in names))
            for layer, names in variables.items()
            if names
        ]
    except Exception as error:
        raise UnreadableWeights(f"it is HDF5, but not a file of Keras weights: {error}") from error


def _by_class_and_number(datasets: dict[str, h5py.Dataset], model: keras.Model) -> list[StoredLayer]:
    groups: dict[str, dict[int, h5py.Dataset]] = defaultdict(dict)
    for name, dataset in datasets.items():
        if found := re.fullmatch(r"(?:.+/)?layers/([^/]+)/vars/(\d+)", name):
            groups[found[1]][int(found[2])] = dataset
        elif not name.startswith("optimizer/"):
            raise UnreadableWeights(f"the dataset {name} does not belong to a layer of a flat network")
    numbers: Counter[str] = Counter()
    stored = []
    for layer in model.layers:
        kind = _snake_case(type(layer).__name__)
        key = f"{kind}_{numbers[kind]}" if numbers[kind] else kind
        numbers[kind] += 1
        if arrays := groups.pop(key, None):
            stored.append(StoredLayer(layer.name, tuple(arrays[i] for i in sorted(arrays))))
    return stored + [StoredLayer(name, tuple(arrays.values())) for name, arrays in groups.items()]


def _by_layer_and_variable(tensors: dict[str, np.ndarray], model: keras.Model) -> list[StoredLayer]:
    groups: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for name, array in tensors.items():
        layer_name, _, variable = name.rpartition("/")
        groups[layer_name][variable] = array
    stored = []
    names = stable_names(model)
    for layer in weighted_layers(model):
        if arrays := groups.pop(names[id(layer)], None):
            order = [variable.name for variable in layer.weights]
            if missing := [name for name in order if name not in arrays]:
                raise UnreadableWeights(f"the layer {layer.name} lacks {', '.join(missing)}")
            stored.append(StoredLayer(layer.name, tuple(arrays[name] for name in order)))
    return stored + [StoredLayer(name, tuple(arrays.values())) for name, arrays in groups.items()]


def _snake_case(name: str) -> str:
    """Convert `DepthwiseConv2D` to `depthwise_conv2d`, as Keras 3 names the groups of `.weights.h5`."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
