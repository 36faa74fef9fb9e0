"""Read weights from a SavedModel folder without executing anything in it: only its variables, never its graph.

    edgetune         a trainer's model or a pushed version: `variables_of_model/<i>`, in the order of the network
    Keras 2          `model.save(folder)`: `layer_with_weights-<i>/<variable>`, in the order of the network
    Keras 3          `model.export(folder)`: by the names of layers and variables
    TF Hub           MobileNet V1 and V2 with TF-Slim's names (github.com/tensorflow/models, research/slim/nets)

Networks with other names are rejected, because layers of the same shape could be confused.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from edgetune.modules.core.errors import WeightsError
from edgetune.modules.models.weight_formats import StoredLayer, UnreadableWeights, stable_names, weighted_layers

HUB = "https://tfhub.dev/"
_VARIABLES = "variables/variables"
_SERVING = "Format-Serving"  # where TFX puts the SavedModel inside an artifact of type Model
_HEAD = r"(^|/)(head_\d+|probabilities)$"  # names of the head's layers in edgetune.modules.models.classifier
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"

# TF-Slim's scope, and Keras's names of the convolution and its batch normalisation.
_SLIM = (
    (r"MobilenetV1/Conv2d_0", "conv1", "conv1_bn"),
    (r"MobilenetV1/Conv2d_(\d+)_depthwise", r"conv_dw_\1", r"conv_dw_\1_bn"),
    (r"MobilenetV1/Conv2d_(\d+)_pointwise", r"conv_pw_\1", r"conv_pw_\1_bn"),
    (r"MobilenetV2/Conv", "Conv1", "bn_Conv1"),
    (r"MobilenetV2/Conv_1", "Conv_1", "Conv_1_bn"),
    (r"MobilenetV2/expanded_conv/(\w+)", r"expanded_conv_\1", r"expanded_conv_\1_BN"),
    (r"MobilenetV2/expanded_conv_(\d+)/(\w+)", r"block_\1_\2", r"block_\1_\2_BN"),
)
_SLIM_VARIABLES = {"weights": "kernel", "depthwise_weights": "kernel", "biases": "bias"}


@dataclass(frozen=True)
class _Variable:
    """One variable of a checkpoint; its values are read on access."""

    reader: Any
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def __getitem__(self, _: tuple[()]) -> np.ndarray:
        try:
            return self.reader.get_tensor(self.key)
        except (tf.errors.OpError, RuntimeError, ValueError) as error:
            raise OSError(str(error)) from error


def hub_folder(handle: str) -> str:
    """Return the folder of the unpacked SavedModel of a TF Hub handle in TF Hub's local cache.

    Raises:
        WeightsError: The model is not in the cache. Nothing is downloaded.
    """
    plain = handle.partition("?")[0].rstrip("/")
    cache = Path(os.environ.get("TFHUB_CACHE_DIR") or Path(tempfile.gettempdir(), "tfhub_modules"))
    folder = cache / hashlib.sha1(plain.encode()).hexdigest()  # as the library tensorflow_hub names it
    if not (folder / f"{_VARIABLES}.index").is_file():
        raise WeightsError(
            f"model.weights is {handle}, but TF Hub's cache has no {folder}",
            f"download {plain}?tf-hub-format=compressed and unpack it into that folder, or into any other and set "
            "model.weights to it; or set TFHUB_CACHE_DIR to a cache that has it",
        )
    return str(folder)


def saved_model_folder(path: str) -> str:
    """Return the folder that contains `variables/`: `path` itself, or the SavedModel in a trainer's artifact.

    Raises:
        WeightsError: There is no such folder.
    """
    for folder in (path, f"{path.rstrip('/')}/{_SERVING}"):
        if tf.io.gfile.exists(f"{folder}/{_VARIABLES}.index"):
            return folder
    versions = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(path) if name.rstrip("/").isdigit())
    remedy = f"use one of the versions in it: {', '.join(versions)}" if versions else "use the folder of a SavedModel"
    raise WeightsError(f"the weights folder {path} has no {_VARIABLES}.index, so it is not a SavedModel", remedy)


def stored_in_folder(folder: str, model: keras.Model) -> list[StoredLayer]:
    """Return the layers stored in a SavedModel, in the order of the network.

    Args:
        folder: Folder that contains `variables/`.
        model: The network that the weights are for. The head of edgetune's own models is left out.

    Raises:
        UnreadableWeights: The variables are damaged, or their names do not determine the order.
    """
    try:
        reader = tf.train.load_checkpoint(f"{folder}/{_VARIABLES}")
        shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        if _GRAPH in shapes:
            graph.ParseFromString(reader.get_tensor(_GRAPH))
    except Exception as error:  # TensorFlow raises plain RuntimeError and ValueError, protobuf its own
        raise UnreadableWeights(f"its variables are damaged: {error}") from error
    variables = {
        key: _Variable(reader, key, tuple(shape), np.dtype(types[key].as_numpy_dtype))
        for key, shape in shapes.items()
        if types[key].is_floating
    }
    names = {a.checkpoint_key: a.full_name for node in graph.nodes for a in node.attributes}
    if numbered := _numbered(variables, r"variables_of_model/(\d+)"):
        return _in_sequence(numbered, [names.get(value.key, "") for value in numbered], model)
    if layers := _numbered_layers(variables):
        return layers
    return _by_names({names.get(key) or key.removesuffix(_VALUE): value for key, value in variables.items()}, model)


def _numbered(variables: dict[str, _Variable], pattern: str) -> list[_Variable]:
    found = {int(m[1]): value for key, value in variables.items() if (m := re.fullmatch(pattern + _VALUE, key))}
    return [found[number] for number in sorted(found)]


def _in_sequence(values: list[_Variable], names: list[str], model: keras.Model) -> list[StoredLayer]:
    """Return the backbone's layers from all variables of a classifier, in which the head's come last."""
    if all("/" in name for name in names):
        pairs = itertools.groupby(zip(names, values, strict=True), key=lambda pair: pair[0].rpartition("/")[0])
        groups = [StoredLayer(scope, tuple(value for _, value in group)) for scope, group in pairs]
        return [group for group in groups if not re.search(_HEAD, group.name)]
    # Without names, assign to each layer as many variables as it has weights.
    stored, start = [], 0
    for layer in weighted_layers(model):
        if arrays := tuple(values[start : start + len(layer.weights)]):
            stored.append(StoredLayer(layer.name, arrays))
        start += len(layer.weights)
    return stored


def _numbered_layers(variables: dict[str, _Variable]) -> list[StoredLayer]:
    groups: dict[int, dict[str, _Variable]] = defaultdict(dict)
    for key, value in variables.items():
        if found := re.fullmatch(rf"layer_with_weights-(\d+)/(\w+){_VALUE}", key):
            groups[int(found[1])][found[2]] = value
    order = ("kernel", "depthwise_kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    stored = []
    for number in sorted(groups):
        known = [groups[number][name] for name in order if name in groups[number]]
        rest = [value for name, value in sorted(groups[number].items()) if name not in order]
        stored.append(StoredLayer(f"number {number}", tuple(known + rest)))
    return stored


def _by_names(named: dict[str, _Variable], model: keras.Model) -> list[StoredLayer]:
    stable = stable_names(model)
    plain = {_keras_name(name): value for name, value in named.items()}
    stored = []
    for layer in weighted_layers(model):
        names = [f"{stable[id(layer)]}/{v.name.replace('depthwise_kernel', 'kernel')}" for v in layer.weights]
        missing = [name for name in names if name not in plain]
        if missing:
            example = next(iter(sorted(named)), "nothing")
            raise UnreadableWeights(
                f"none of its {len(named)} variables, such as {example}, can be identified as {missing[0]} of "
                f"{model.name}; use a .h5 or .safetensors file of {model.name}"
            )
        stored.append(StoredLayer(layer.name, tuple(plain[name] for name in names)))
    return stored


def _keras_name(name: str) -> str:
    """Return Keras's `<layer>/<variable>` without leading scopes, with `kernel` for every kind of kernel."""
    scope, _, variable = name.removesuffix(":0").rpartition("/")
    variable = _SLIM_VARIABLES.get(variable, variable).replace("depthwise_kernel", "kernel")
    normalises = scope.endswith("/BatchNorm")
    slim = re.sub(r"^.*?(?=MobilenetV[12]/)", "", scope.removesuffix("/BatchNorm"))
    for pattern, convolution, normalisation in _SLIM:
        if found := re.fullmatch(pattern, slim):
            return f"{found.expand(normalisation if normalises else convolution)}/{variable}"
    return f"{scope.rpartition('/')[2]}/{variable}"
