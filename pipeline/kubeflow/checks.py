"""What can be found wrong with a configuration before it is compiled for a platform."""

from __future__ import annotations

import re

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.core.package_paths import SCHEME, portable
from edgetune.modules.data.digits import EMBEDDED
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.kubeflow.parameters import DATA_PATH, check_data_path

_NAME = re.compile("[a-z][a-z0-9-]{0,127}")
_URL = re.compile(r"(\w[\w+.-]*)://")
_BY_NAME = ("imagenet", "none")
# Kubeflow's own launcher copies from and to such URLs; TFX writes by itself, through TensorFlow and Beam.
_NOT_FOR_TFX = ("minio",)


def check(settings: RunSettings, target: str) -> tuple[str, str]:
    """Stops at what could not run in containers.

    Returns:
        The container image, and the pipeline root without a slash at its end.

    Raises:
        ConfigError: No image or pipeline root; a name, a root, data or weights that the platform cannot use.
    """
    image, root = settings.platform.image, settings.state.root
    if not _NAME.fullmatch(settings.name):
        raise ConfigError(
            f"name {settings.name}: a platform takes lower-case letters, digits and `-` only",
            f"for example --set name={settings.name.replace('_', '-')}",
        )
    if image is None:
        raise ConfigError(
            "no container image is named", "give --image or platform.image: what `docker build` made of the Dockerfile"
        )
    if root is None:
        raise ConfigError("it is not said where artifacts go", "give --pipeline-root or state.root: gs://bucket/folder")
    _check_root(root)
    check_data_path(settings.data.path, DATA_PATH)
    if settings.data.path == EMBEDDED and settings.beam.runner != "direct":
        raise ConfigError(
            f"{DATA_PATH} {EMBEDDED}: the workers of beam.runner {settings.beam.runner} cannot read it",
            "put the images where they can, or set beam.runner=direct",
        )
    _check_weights(settings.model.weights)
    for key, path in (("push.saved_model", settings.push.saved_model), ("push.edge", settings.push.edge)):
        if path is not None and target == "vertex" and not _URL.match(path):
            raise ConfigError(f"{key} {path}: is a folder of this machine", "name a URL such as gs://bucket/pushed")
    return image, root.rstrip("/")


def _check_root(root: str) -> None:
    found = _URL.match(root)
    if found is not None and found[1] in _NOT_FOR_TFX:
        raise ConfigError(
            f"pipeline root {root}: TFX's components cannot write to {found[1]}://",
            "name a root on gs://, or on s3:// where the image has TensorFlow's file system for it",
        )


def _check_weights(weights: str) -> None:
    """What comes with the code is in every image; whatever else lies on this machine is not."""
    if weights in _BY_NAME or _URL.match(weights) or portable(weights).startswith(SCHEME):
        return
    raise ConfigError(
        f"model.weights {weights}: is a file of this machine, and no container has it",
        "copy it to where artifacts go, and give its URL",
    )
