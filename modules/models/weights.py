"""Load pretrained weights: find their source, verify their digest, and assign them to a backbone."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import WeightsError
from edgetune.modules.models.backbone import assemble
from edgetune.modules.models.imagenet_files import keras_folder
from edgetune.modules.models.saved_model_weights import HUB, hub_folder, saved_model_folder, stored_in_folder
from edgetune.modules.models.weight_formats import (
    FORMATS,
    UnreadableWeights,
    file_format,
    stable_names,
    stored_layers,
    weighted_layers,
)
from edgetune.modules.models.weight_matching import assign_weights
from edgetune.modules.settings.run import ModelSettings
from edgetune.modules.storage.digests import folder_digest
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

BY_NAME = ("imagenet", "none")
_SOURCES = (
    f"use `imagenet`, `none`, a file that ends in {', '.join(FORMATS)}, the folder of a SavedModel, or a handle "
    f"{HUB}...; paths are relative to the configuration file"
)


def load_weights(backbone: keras.Model, settings: ModelSettings) -> None:
    """Load the weights that `settings.weights` names into `backbone`: all of them or, after an error, none.

    Args:
        backbone: A model from `modules.models.backbone.assemble` for the same settings, modified in place.
        settings: `weights` is `imagenet`, `none`, a file of one of `weight_formats.FORMATS`, a folder as in
            `modules.models.saved_model_weights`, or a TF Hub handle. `weights_sha256` is checked before anything is
            parsed; for `imagenet`, whose file Keras finds itself, it is the digest of the file that `save_safetensors`
            would write.

    Raises:
        WeightsError: The file is missing, altered or damaged, the weights are of another architecture or width, or the
            download failed.
    """
    if settings.weights == "imagenet":
        _load_imagenet(backbone, settings)
    elif _is_folder(settings.weights):
        _load_folder(backbone, settings)
    elif settings.weights != "none":
        _load_file(backbone, settings)


def weights_digest(settings: ModelSettings) -> str:
    """Return the weights' part of a cache key: the SHA-256 of the file or folder, or `imagenet` or `none`.

    `weights_sha256` is compared with this digest. For a folder it is `storage.digests.folder_digest`; a pushed
    version's edge bundle contains it too.

    Raises:
        WeightsError: The file or folder is missing.
    """
    if settings.weights in BY_NAME:
        return settings.weights
    if _is_folder(settings.weights):
        return folder_digest(_folder(settings.weights))
    return hashlib.sha256(_read(settings.weights)).hexdigest()


def save_safetensors(backbone: keras.Model, path: str | Path) -> str:
    """Write all weights of `backbone` as float32 tensors named `<layer name>/<variable name>`.

    Returns:
        SHA-256 of the file, which is the same for equal weights.
    """
    content = _as_safetensors(backbone)
    Path(path).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _as_safetensors(backbone: keras.Model) -> bytes:
    names = stable_names(backbone)
    tensors = {
        f"{names[id(layer)]}/{variable.name}": np.ascontiguousarray(keras.ops.convert_to_numpy(variable), np.float32)
        for layer in weighted_layers(backbone)
        for variable in layer.weights
    }
    return safetensors.numpy.save(tensors, metadata={"backbone": backbone.name})


def _digest_of(backbone: keras.Model) -> str:
    return hashlib.sha256(_as_safetensors(backbone)).hexdigest()


def _is_folder(weights: str) -> bool:
    return weights.startswith(HUB) or (
        weights not in BY_NAME and file_format(weights) is None and tf.io.gfile.isdir(weights)
    )


def _folder(weights: str) -> str:
    return hub_folder(weights) if weights.startswith(HUB) else saved_model_folder(weights)


def _read(path: str) -> bytes:
    try:
        return read_file(path, None, bounds.MAX_WEIGHTS, "a file of weights")
    except UnreadableFile as error:
        raise WeightsError(f"the weights file {path}: {error}", f"correct model.weights: {_SOURCES}") from error


def _load_folder(backbone: keras.Model, settings: ModelSettings) -> None:
    folder = _folder(settings.weights)
    if settings.weights_sha256:  # reads the whole folder
        _check_pin(f"the weights folder {folder}", folder_digest(folder), settings)
    try:
        assign_weights(backbone, stored_in_folder(folder, backbone), folder, settings)
    except UnreadableWeights as error:
        raise WeightsError(f"{folder} cannot be used as weights: {error}", _SOURCES) from error


def _load_file(backbone: keras.Model, settings: ModelSettings) -> None:
    path = settings.weights
    kind = file_format(path)
    if kind is None:
        raise WeightsError(f"model.weights is `{path}`, which is not a supported source of weights", _SOURCES)
    content = _read(path)
    _check_pin(f"the weights file {path}", hashlib.sha256(content).hexdigest(), settings)
    try:
        with stored_layers(content, kind, backbone) as stored:
            assign_weights(backbone, stored, path, settings)
    except UnreadableWeights as error:
        raise WeightsError(f"{path} is not a readable weights file: {error}", "download the file again") from error


def _check_pin(what: str, found: str, settings: ModelSettings) -> None:
    if settings.weights_sha256 and found != settings.weights_sha256:
        raise WeightsError(
            f"{what} has SHA-256 {found}, but model.weights_sha256 is {settings.weights_sha256}",
            "download the weights again; change model.weights_sha256 only if you trust the new ones",
        )


def _load_imagenet(backbone: keras.Model, settings: ModelSettings) -> None:
    cache = keras_folder()
    try:
        donor = assemble(settings, weights="imagenet")
    except OSError as error:  # from h5py, for a cached file of an aborted download
        raise WeightsError(
            f"Keras's cached file of ImageNet weights for {settings.backbone} in {cache} cannot be read: {error}",
            f"delete it from {cache}; Keras will download it again",
        ) from error
    except Exception as error:  # Keras raises a bare Exception when a download fails
        url = re.search(r"https?://\S+?\.h5", str(error))
        if url is None:
            raise
        name = url[0].rsplit("/", 1)[1]
        raise WeightsError(
            f"the ImageNet weights of {settings.backbone} cannot be downloaded; is there a network? {error}",
            f"download {url[0]} on a machine with a network; then put {name} into {cache}, or set model.weights to its "
            "path",
        ) from error
    if settings.weights_sha256:
        _check_pin(f"the set of ImageNet weights of {settings.backbone} that Keras loaded", _digest_of(donor), settings)
    for target, source in zip(weighted_layers(backbone), weighted_layers(donor), strict=True):
        target.set_weights(source.get_weights())
