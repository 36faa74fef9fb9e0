"""Discover the data source at run time, for pipelines compiled without access to the data.

A local run calls `modules.data.sources.discover` before it starts. On a platform the component calls it, and fills in
the properties that a local run sets from the start.
"""

from __future__ import annotations

import atexit
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs as keys
from tfx.utils import proto_utils

from edgetune.modules.data.columns import GROUP
from edgetune.modules.data.digits import EMBEDDED, write_digits
from edgetune.modules.data.sources import Source, discover
from edgetune.modules.settings.data import Columns
from edgetune.modules.settings.run import DataSettings

DEFERRED = "later"
"""Value of the property `source_kind` if the source is discovered at run time."""
KIND_KEY, PATTERN_KEY, SMALLEST_KEY = "source_kind", "tfrecord_pattern", "min_examples_per_class"
COLUMNS_KEY = "columns"
"""The settings `data.columns` and `data.group`, which may name a column, as JSON."""
BOUNDS_KEYS = ("max_list_bytes", "max_records", "max_unpack_ratio")
"""Settings that bound what is read of lists and TFRecord files."""


def resolve_source(exec_properties: dict[str, Any]) -> None:
    """Fill in kind, folder and patterns of the data under `input_base` if the source is deferred.

    Raises:
        DataError: There are no usable data; see `modules.data.sources.discover`.
    """
    if exec_properties[KIND_KEY] != DEFERRED:
        return
    path = exec_properties[keys.INPUT_BASE_KEY]
    source = discover(
        DataSettings(
            path=_write_digits() if path == EMBEDDED else path,
            tfrecord_pattern=exec_properties[PATTERN_KEY],
            min_examples_per_class=exec_properties[SMALLEST_KEY],
            columns=Columns(**_without_group(json.loads(exec_properties[COLUMNS_KEY]))),
            group=exec_properties["group"] or None,
            **{name: exec_properties[name] for name in BOUNDS_KEYS},
        )
    )
    for note in source.notes:
        logging.info("data: %s", note)
    exec_properties[KIND_KEY] = source.kind
    exec_properties[keys.INPUT_BASE_KEY] = source.base
    exec_properties[keys.INPUT_CONFIG_KEY] = proto_utils.proto_to_json(input_config(source))
    output = example_gen_pb2.Output()
    proto_utils.json_to_proto(exec_properties[keys.OUTPUT_CONFIG_KEY], output)
    made = [split for split in output.split_config.splits if split.name in source.made_splits]
    if made:
        del output.split_config.splits[:]
        output.split_config.splits.extend(made)
    else:
        output.ClearField("split_config")
    exec_properties[keys.OUTPUT_CONFIG_KEY] = proto_utils.proto_to_json(output)


def _without_group(columns: dict[str, str]) -> dict[str, str]:
    return {role: name for role, name in columns.items() if role != GROUP}


def list_options(exec_properties: dict[str, Any]) -> tuple[int, int, dict[str, str]]:
    """Return the last arguments of `modules.data.manifests.read_manifest`: two bounds, and names of columns."""
    columns = json.loads(exec_properties[COLUMNS_KEY])
    return exec_properties["max_list_bytes"], exec_properties["max_records"], columns


def input_config(source: Source) -> example_gen_pb2.Input:
    """Return the source's file patterns as TFX's input configuration."""
    splits = [example_gen_pb2.Input.Split(name=name, pattern=glob) for name, glob in source.patterns.items()]
    return example_gen_pb2.Input(splits=splits)


def _write_digits() -> str:
    """Write the embedded digits to a temporary folder, which is removed when the process ends, and return its path."""
    folder = tempfile.mkdtemp(prefix="edgetune-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(write_digits(Path(folder) / "digits"))
