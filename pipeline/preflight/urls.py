"""Check that a run can write to its URLs, with the libraries that will write there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.storage import filesystem

_REMEDIES = {
    "gs": "check the bucket, and that this machine is signed in: `gcloud auth application-default login`",
    "s3": "check the bucket and the credentials; S3 needs the packages tensorflow-io and boto3 beside TFX",
}


def check_places(places: Mapping[str, str | None], flags: Sequence[str]) -> None:
    """Write a file below each URL and remove it again.

    Args:
        places: By the key of the setting: a URL, a local folder or None; only URLs are looked at.
        flags: Beam's, which may say how a file system is reached.

    Raises:
        ConfigError: One cannot be written.
    """
    for key, place in places.items():
        if place is None or not filesystem.is_remote(place):
            continue
        folder = place.rstrip("/")
        scheme = folder.partition("://")[0]
        try:
            _write_with_tensorflow(f"{folder}/.edgetune-{uuid.uuid4().hex}")
            if key == "state.root":
                _look_with_beam(folder, flags)
        except Exception as error:
            remedy = _REMEDIES.get(
                scheme, "check that the file system of this URL is one that TensorFlow and Beam know"
            )
            raise ConfigError(f"{key} {place}: cannot be written: {filesystem.error_line(error)}", remedy) from error


def _write_with_tensorflow(path: str) -> None:
    import tensorflow as tf

    if path.startswith("s3://"):
        import tensorflow_io  # noqa: F401 - its import makes the scheme known in this process
    filesystem.make_folder(os.path.dirname(path))  # noqa: PTH120 - a URL
    with tf.io.gfile.GFile(path, "w") as file:
        file.write("")
    tf.io.gfile.remove(path)


def _look_with_beam(folder: str, flags: Sequence[str]) -> None:
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    FileSystems.set_options(PipelineOptions(list(flags)))
    FileSystems.exists(f"{folder}/")
