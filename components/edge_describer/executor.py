"""Executor of the EdgeDescriber component."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from edgetune.components.common.lineage import record_recipe, stamp
from edgetune.components.common.names import CONVERTED_MODEL_KEY, EDGE_EXPORTER, EDGE_MODEL_KEY, FILES_SHA256
from edgetune.components.common.outputs import empty
from edgetune.modules.contracts.bundle import INPUT_RANGES, model_file, normalisation
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.core.errors import ExportError
from edgetune.modules.litert.input_range import with_input_range
from edgetune.modules.litert.metadata import Description, add_metadata
from edgetune.modules.storage import filesystem

NAME = "image_classifier"
TEXTS = ("description", "author", "license")
"""Settings in `modules.settings.run.EdgeSettings` that become metadata."""
INPUT_RANGE = "input_range"
LIBRARIES = (
    "ai-edge-litert",  # has the schema of the files
    "flatbuffers",  # writes them
    "numpy",  # by which it writes their vectors
)


class Executor(base_executor.BaseExecutor):
    """Adds metadata to each variant, and the range of its input."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write every variant with its metadata.

        Raises:
            ExportError: A file cannot be read, is not the one that EdgeExporter wrote or is not a LiteRT model, or a
                class name is not one line.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        stamp(output_dict, LIBRARIES)
        record_recipe(input_dict, output_dict, exec_properties)
        empty(output_dict)
        converted = artifact_utils.get_single_instance(input_dict[CONVERTED_MODEL_KEY])
        edge_model = artifact_utils.get_single_instance(output_dict[EDGE_MODEL_KEY])
        variants = converted.get_string_custom_property("variants")
        about = Description(NAME, *(exec_properties[name] for name in TEXTS))
        digests = _digests(converted)
        listed = _read(converted.uri, LABELS_FILE, digests)
        filesystem.make_folder(edge_model.uri)
        for variant in variants.split(", "):
            content = _read(converted.uri, model_file(variant), digests)
            normal = normalisation(variant, *INPUT_RANGES[exec_properties[INPUT_RANGE]])
            content = with_input_range(content, *normal)
            described = add_metadata(content, listed.decode().splitlines(), about, normal)
            filesystem.write(f"{edge_model.uri}/{model_file(variant)}", described)
        filesystem.write(f"{edge_model.uri}/{LABELS_FILE}", listed)
        edge_model.set_string_custom_property("variants", variants)
        edge_model.set_string_custom_property("code_digest", exec_properties["code_digest"])


def _digests(converted: types.Artifact) -> Mapping[str, str]:
    """Return the SHA-256 of each file as it was written, by name; empty if there is no readable record."""
    try:
        digests = json.loads(converted.get_string_custom_property(FILES_SHA256))
    except ValueError:
        return {}
    return digests if isinstance(digests, dict) else {}


def _read(folder: str, name: str, digests: Mapping[str, str]) -> bytes:
    """Read a file once, so that what is compared is what is described."""
    path, again = f"{folder}/{name}", f"run {EDGE_EXPORTER} and all that follows again, without the cache, which "
    again += "would give these files: `edgetune run --no-cache`"
    try:
        content = filesystem.read(path)
    except OSError as error:
        raise ExportError(f"{path}: {filesystem.error_line(error)}", again) from error
    if hashlib.sha256(content).hexdigest() != digests.get(name):
        raise ExportError(
            f"{path}: is not the file that {EDGE_EXPORTER} wrote", f"find out what changed it, then {again}"
        )
    return content
