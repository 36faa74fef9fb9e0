"""Reading weights out of a SavedModel's folder: its variables alone, never its graph, so nothing in it is executed.

    edgetune         a trainer's model or a pushed version: `variables_of_model/<i>`, in the order of the network
    Keras 2          `model.save(folder)`: `layer_with_weights-<i>/<variable>`, in the order of the network
    Keras 3          `model.export(folder)`: by the names of layers and variables
    TF Hub           MobileNet V1 and V2 as TF-Slim names them (github.com/tensorflow/models, research/slim/nets)

A network of other names is refused: of layers with the same shapes nobody could say which is which.
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
_HEAD = r"(^|/)(head_\d+|probabilities)$"  # names of the layers that edgetune.modules.models.classifier puts on top
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"

# TF-Slim's scopes, and Keras's layers: the convolution, and its batch normalisation.
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
    """One variable of a checkpoint; its values are read when they are asked for."""

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
    """The unpacked SavedModel of a TF Hub handle in TF Hub's own cache on this machine.

    Raises:
        WeightsError: It is not there. Nothing is downloaded.
    """
    plain = handle.partition("?")[0].rstrip("/")
    cache = Path(os.environ.get("TFHUB_CACHE_DIR") or Path(tempfile.gettempdir(), "tfhub_modules"))
    folder = cache / hashlib.sha1(plain.encode()).hexdigest()  # as the library tensorflow_hub names it
    if not (folder / f"{_VARIABLES}.index").is_file():
        raise WeightsError(
            f"model.weights is {handle}, and TF Hub's cache has no {folder}",
            f"download {plain}?tf-hub-format=compressed where there is a network and unpack it, either there or into "
            "any folder and name that in model.weights; or set TFHUB_CACHE_DIR to the cache that has it",
        )
    return str(folder)


def saved_model_folder(path: str) -> str:
    """The folder that has `variables/` inside: `path` itself, or the SavedModel in a trainer's artifact.

    Raises:
        WeightsError: There is none.
    """
    for folder in (path, f"{path.rstrip('/')}/{_SERVING}"):
        if tf.io.gfile.exists(f"{folder}/{_VARIABLES}.index"):
            return folder
    versions = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(path) if name.rstrip("/").isdigit())
    remedy = f"name one of the versions in it: {', '.join(versions)}" if versions else "name a SavedModel's folder"
    raise WeightsError(f"the folder of weights {path} has no {_VARIABLES}.index, so it is no SavedModel", remedy)


def stored_in_folder(folder: str, model: keras.Model) -> list[StoredLayer]:
    """The layers stored in a SavedModel, in the order of the network.

    Args:
        folder: With `variables/` inside.
        model: The network they are meant for. What edgetune's own models hold behind it, their head, is left out.

    Raises:
        UnreadableWeights: Damaged, or of names that say nothing about the order.
    """
    try:
        reader = tf.train.load_checkpoint(f"{folder}/{_VARIABLES}")
        shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        if _GRAPH in shapes:
            graph.ParseFromString(reader.get_tensor(_GRAPH))
    except Exception as error:  # TensorFlow raises a bare RuntimeError or ValueError, protobuf its own
        raise UnreadableWeights(f"its variables are damaged: {error}") from error
    variables = {
        key: _Variable(reader, key, tuple(shape), np.dtype(types[key].as_numpy_dtype))
        for key, shape in shapes.items()
        if types[key].is_floating
    }
    names = {a.checkpoint_key: a.full_name for node in graph.nodes for a in node.attributes}
    if ours := _numbered(variables, r"variables_of_model/(\d+)"):
        return _in_sequence(ours, [names.get(value.key, "") for value in ours], model)
    if layers := _numbered_layers(variables):
        return layers
    return _by_names({names.get(key) or key.removesuffix(_VALUE): value for key, value in variables.items()}, model)


def _numbered(variables: dict[str, _Variable], pattern: str) -> list[_Variable]:
    found = {int(m[1]): value for key, value in variables.items() if (m := re.fullmatch(pattern + _VALUE, key))}
    return [found[number] for number in sorted(found)]


def _in_sequence(values: list[_Variable], names: list[str], model: keras.Model) -> list[StoredLayer]:
    """The layers of the backbone out of all variables of a classifier, where those of the head come behind them."""
    if all("/" in name for name in names):
        pairs = itertools.groupby(zip(names, values, strict=True), key=lambda pair: pair[0].rpartition("/")[0])
        groups = [StoredLayer(scope, tuple(value for _, value in group)) for scope, group in pairs]
        return [group for group in groups if not re.search(_HEAD, group.name)]
    # Without names, as many as each layer has.
    stored, at = [], 0
    for layer in weighted_layers(model):
        if arrays := tuple(values[at : at + len(layer.weights)]):
            stored.append(StoredLayer(layer.name, arrays))
        at += len(layer.weights)
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
                f"no variable of it can be told to be {missing[0]} of {model.name} (it has {len(named)}, such as "
                f"{example}); give a .h5 or .safetensors file of {model.name}"
            )
        stored.append(StoredLayer(layer.name, tuple(plain[name] for name in names)))
    return stored


def _keras_name(name: str) -> str:
    """`<layer>/<variable>` as Keras names them, whatever scopes stand before; kernels are all called `kernel`."""
    scope, _, variable = name.removesuffix(":0").rpartition("/")
    variable = _SLIM_VARIABLES.get(variable, variable).replace("depthwise_kernel", "kernel")
    normalises = scope.endswith("/BatchNorm")
    slim = re.sub(r"^.*?(?=MobilenetV[12]/)", "", scope.removesuffix("/BatchNorm"))
    for pattern, convolution, normalisation in _SLIM:
        if found := re.fullmatch(pattern, slim):
            return f"{found.expand(normalisation if normalises else convolution)}/{variable}"
    return f"{scope.rpartition('/')[2]}/{variable}"
