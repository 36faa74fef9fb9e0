"""Check a configuration before it is compiled for a platform."""

from __future__ import annotations

import re

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.core.package_paths import SCHEME, portable
from edgetune.modules.data.digits import EMBEDDED
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.kubeflow.parameters import DATA_PATH, check_data_path

_NAME = re.compile("[a-z][a-z0-9-]{0,127}")
_URL = re.compile(r"(\w[\w+.-]*)://")
_WEIGHTS_BY_NAME = ("imagenet", "none")
# Kubeflow's launcher supports these URLs; TFX does not, since it writes through TensorFlow and Beam.
_NOT_FOR_TFX = ("minio",)


def check(settings: RunSettings, target: str) -> tuple[str, str]:
    """Reject settings that cannot work in containers.

    Returns:
        The container image, and the pipeline root without a trailing slash.

    Raises:
        ConfigError: No image or pipeline root is given, or the platform cannot use the name, root, data or weights.
    """
    image, root = settings.platform.image, settings.state.root
    if not _NAME.fullmatch(settings.name):
        raise ConfigError(
            f"name {settings.name}: platforms allow only lower-case letters, digits and `-`",
            f"rename it, for example --set name={settings.name.replace('_', '-')}",
        )
    if image is None:
        raise ConfigError(
            "no container image given",
            "set --image or platform.image to an image built from the Dockerfile with `docker build`",
        )
    if root is None:
        raise ConfigError("no pipeline root given", "set --pipeline-root or state.root, such as gs://bucket/folder")
    _check_root(root)
    check_data_path(settings.data.path, DATA_PATH)
    if settings.data.unknown is not None:
        check_data_path(settings.data.unknown, "data.unknown")
    if settings.data.path == EMBEDDED and settings.beam.runner != "direct":
        raise ConfigError(
            f"{DATA_PATH} {EMBEDDED}: the workers of beam.runner {settings.beam.runner} cannot read it",
            "copy the images to storage that the workers can read, or set beam.runner=direct",
        )
    _check_weights(settings.model.weights)
    for key, path in (("push.saved_model", settings.push.saved_model), ("push.edge", settings.push.edge)):
        if path is not None and target == "vertex" and not _URL.match(path):
            raise ConfigError(f"{key} {path} is a local folder", "set it to a URL such as gs://bucket/pushed")
    return image, root.rstrip("/")


def _check_root(root: str) -> None:
    found = _URL.match(root)
    if found is not None and found[1] in _NOT_FOR_TFX:
        raise ConfigError(
            f"pipeline root {root}: TFX's components cannot write to {found[1]}://",
            "use a root on gs://, or on s3:// if the image has TensorFlow's file system for it",
        )


def _check_weights(weights: str) -> None:
    """Reject a local file, except weights that come with the code, which are in every image."""
    if weights in _WEIGHTS_BY_NAME or _URL.match(weights) or portable(weights).startswith(SCHEME):
        return
    raise ConfigError(
        f"model.weights {weights} is a local file, which containers cannot read",
        "copy it to the storage of the artifacts, and set model.weights to its URL",
    )
