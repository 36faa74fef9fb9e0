"""Pretrained weights: where they come from, whether they are the ones that were meant, whether they fit."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf

from modules.architectures import assemble
from modules.errors import WeightsError
from modules.settings import ModelSettings
from modules.weight_files import FORMATS, StoredLayer, Unreadable, file_format, stored_layers, weighted_layers

BY_NAME = ("imagenet", "none")


def load_weights(backbone: keras.Model, settings: ModelSettings) -> None:
    """Puts the weights that `settings.weights` names into `backbone`; all of them or none.

    Args:
        backbone: What `modules.architectures.assemble` returned for the same settings. It is changed.
        settings: `weights` is `imagenet`, `none` or the path of a file of one of `weight_files.FORMATS`.
            `weights_sha256` is compared before the file is parsed.

    Raises:
        ConfigError: There are no ImageNet weights for `alpha`.
        WeightsError: Missing, altered or damaged file; weights of another architecture or width; no download.
    """
    if settings.weights_sha256 and settings.weights in BY_NAME:
        raise WeightsError(
            f"model.weights_sha256 pins a file, but model.weights is `{settings.weights}`",
            "name the file in model.weights, or leave model.weights_sha256 out",
        )
    if settings.weights == "imagenet":
        _load_imagenet(backbone, settings)
    elif settings.weights != "none":
        _load_file(backbone, settings)


def weights_digest(settings: ModelSettings) -> str:
    """What stands for the weights in a cache key: SHA-256 of the file, or `imagenet` or `none`.

    Raises:
        WeightsError: The file is missing.
    """
    if settings.weights in BY_NAME:
        return settings.weights
    return hashlib.sha256(_read(settings.weights)).hexdigest()


def save_safetensors(backbone: keras.Model, path: str | Path) -> str:
    """Writes all weights of `backbone` as float32 tensors named `<layer name>/<variable name>`.

    Returns:
        SHA-256 of the file. Equal weights give equal bytes.
    """
    tensors = {
        f"{layer.name}/{variable.name}": np.ascontiguousarray(keras.ops.convert_to_numpy(variable), np.float32)
        for layer in weighted_layers(backbone)
        for variable in layer.weights
    }
    content = safetensors.numpy.save(tensors, metadata={"backbone": backbone.name})
    Path(path).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _read(path: str) -> bytes:
    # TensorFlow's file system also reads gs:// and s3://, where a platform keeps weights.
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        reason = "does not exist" if isinstance(error, tf.errors.NotFoundError) else f"cannot be read: {error.message}"
        raise WeightsError(
            f"the file of weights {path} {reason}",
            "correct model.weights: `imagenet`, `none`, or a file, relative to the configuration file",
        ) from error


def _load_file(backbone: keras.Model, settings: ModelSettings) -> None:
    path, pin = settings.weights, settings.weights_sha256
    kind = file_format(path)
    if kind is None:
        raise WeightsError(
            f"model.weights is `{path}`, which is no known source of weights",
            f"use `imagenet`, `none`, or a file that ends in {', '.join(FORMATS)}",
        )
    content = _read(path)
    found = hashlib.sha256(content).hexdigest()
    if pin and found != pin:
        raise WeightsError(
            f"the file of weights {path} has SHA-256 {found}, but model.weights_sha256 is {pin}",
            "get the file again from its source; change the pin only if you trust the new file",
        )
    try:
        with stored_layers(content, kind, backbone) as stored:
            _assign(backbone, stored, path, settings)
    except Unreadable as error:
        raise WeightsError(f"{path} is not a readable file of weights: {error}", "get the file again") from error


def _assign(backbone: keras.Model, stored: list[StoredLayer], path: str, settings: ModelSettings) -> None:
    """Checks every layer before the first is changed. Layers are paired in order: old files spell names otherwise."""
    layers = weighted_layers(backbone)
    model = f"{settings.backbone} with alpha {settings.alpha}"
    remedy = f"give model.weights the weights of {model} without its classifier, or correct backbone and alpha"
    if len(stored) != len(layers):
        raise WeightsError(
            f"{path} holds {len(stored)} layers with weights, but {model} has {len(layers)}: "
            "it is of another architecture, or has a classifier",
            remedy,
        )
    for layer, entry in zip(layers, stored, strict=True):
        expected = [tuple(variable.shape) for variable in layer.weights]
        shapes = [tuple(array.shape) for array in entry.arrays]
        if shapes != expected:
            raise WeightsError(
                f"{path} does not fit {model}: the layer {layer.name} expects {_shapes(expected)}, and the file has "
                f"{_shapes(shapes)} (as {entry.name})",
                remedy,
            )
    values = [[_values(array, entry.name, path) for array in entry.arrays] for entry in stored]
    for layer, arrays in zip(layers, values, strict=True):
        for variable, array in zip(layer.weights, arrays, strict=True):
            variable.assign(array)


def _values(array: object, layer: str, path: str) -> np.ndarray:
    try:
        values = np.asarray(array[()])  # type: ignore[index]
    except (OSError, RuntimeError) as error:
        raise Unreadable(f"the values of the layer {layer} are damaged: {error}") from error
    if values.dtype.kind != "f":
        raise WeightsError(f"{path} stores the layer {layer} as {values.dtype}", "give a file of float weights")
    if not np.isfinite(values).all():
        raise WeightsError(f"{path} has values in the layer {layer} that are not finite", "get the file again")
    return values.astype(np.float32)


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) or "scalar" for shape in shapes) or "nothing"


def _load_imagenet(backbone: keras.Model, settings: ModelSettings) -> None:
    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"
    try:
        donor = assemble(settings, weights="imagenet")
    except OSError as error:  # h5py, on a file in the cache that an aborted download left behind
        raise WeightsError(
            f"Keras's own file of ImageNet weights for {settings.backbone} in {cache} cannot be read: {error}",
            f"delete it from {cache}; Keras downloads it again",
        ) from error
    except Exception as error:  # Keras raises a bare Exception when a download fails
        url = re.search(r"https?://\S+?\.h5", str(error))
        if url is None:
            raise
        name = url[0].rsplit("/", 1)[1]
        raise WeightsError(
            f"the ImageNet weights of {settings.backbone} cannot be downloaded, there seems to be no network: {error}",
            f"put {name} into {cache}, or give model.weights the path of a downloaded file "
            f"(from a machine with a network: {url[0]})",
        ) from error
    for target, source in zip(weighted_layers(backbone), weighted_layers(donor), strict=True):
        target.set_weights(source.get_weights())
