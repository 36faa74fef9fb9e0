"""Driver of the ImageExampleGen component: detects changes of the data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tfx.components.example_gen import utils
from tfx.components.example_gen.driver import FileBasedDriver
from tfx.orchestration import data_types
from tfx.types import standard_component_specs

from edgetune.components.image_example_gen.deferred_source import list_options
from edgetune.modules.core.errors import DataError
from edgetune.modules.data import class_folders, tfds
from edgetune.modules.data.manifests import read_manifest
from edgetune.modules.data.sources import ALL, SPLIT_OF
from edgetune.modules.storage import filesystem


class Driver(FileBasedDriver):
    """Fingerprints the data by the path, size and modification time of every file, and the content where these are few.

    TFX's own driver adds up sizes and times, in seconds: it misses an image that was moved to another class and changes
    of the images that a list names, and it ends with a traceback at a dangling link.
    """

    def resolve_exec_properties(
        self,
        exec_properties: dict[str, Any],
        pipeline_info: data_types.PipelineInfo,
        component_info: data_types.ComponentInfo,
    ) -> dict[str, Any]:
        """Add the fingerprint, and the span and version that TFX requires; data in spans are not supported.

        Raises:
            DataError: A folder cannot be listed, or a list cannot be read.
        """
        exec_properties[utils.FINGERPRINT_PROPERTY_NAME] = fingerprint(exec_properties)
        exec_properties[utils.SPAN_PROPERTY_NAME] = 0
        exec_properties[utils.VERSION_PROPERTY_NAME] = None
        return exec_properties


def fingerprint(exec_properties: dict[str, Any]) -> str:
    """Return a digest of the path, size and modification time of every file.

    Raises:
        DataError: A folder cannot be listed, or a list cannot be read.
    """
    config = json.loads(exec_properties[standard_component_specs.INPUT_CONFIG_KEY])
    base = exec_properties[standard_component_specs.INPUT_BASE_KEY]
    patterns = [split["pattern"] for split in config["splits"]]
    if exec_properties["source_kind"] == "images":
        paths = class_folders.all_entries(base, patterns)
    else:
        paths = (path for pattern in patterns for path in _files(exec_properties, pattern))
    try:
        return class_folders.fingerprint(base, paths)
    except OSError as error:
        cause = f"{base} cannot be read: {error.strerror}"
        raise DataError(cause, "check the folder and its permissions") from error


def _files(exec_properties: dict[str, Any], pattern: str) -> Iterator[str]:
    kind, base = exec_properties["source_kind"], exec_properties[standard_component_specs.INPUT_BASE_KEY]
    if kind == "tfrecords":
        yield from filesystem.matching(base, pattern)
        yield tfds.labels_file(base, exec_properties["label_feature"])
    else:
        name, _, split = pattern.rpartition("#")
        yield f"{base}/{name}"
        most = list_options(exec_properties)
        entries = read_manifest(f"{base}/{name}", SPLIT_OF, *most)
        yield from (f"{base}/{entry.path}" for entry in entries if (entry.split or ALL) == split)
