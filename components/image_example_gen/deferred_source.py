"""What the data is, found out when the component runs: whoever compiles a pipeline for a platform cannot see its data.

`modules.data.sources.discover` is what a local run asks before it begins. Here it is asked by the component, and
answers into the properties that the component otherwise has from the start.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs as keys
from tfx.utils import proto_utils

from edgetune.modules.data.digits import EMBEDDED, write_digits
from edgetune.modules.data.sources import Source, discover
from edgetune.modules.settings.run import DataSettings

LATER = "later"
"""The property `source_kind`, where what the data is remains to be found out."""
KIND_KEY, PATTERN_KEY, SMALLEST_KEY = "source_kind", "tfrecord_pattern", "min_examples_per_class"


def find(exec_properties: dict[str, Any]) -> None:
    """Fills in kind, folder and patterns of the data under `input_base`, where they are not known; else does nothing.

    Raises:
        DataError: There are no data that a run could use; see `modules.data.sources.discover`.
    """
    if exec_properties[KIND_KEY] != LATER:
        return
    path = exec_properties[keys.INPUT_BASE_KEY]
    source = discover(
        DataSettings(
            path=_written_digits() if path == EMBEDDED else path,
            tfrecord_pattern=exec_properties[PATTERN_KEY],
            min_examples_per_class=exec_properties[SMALLEST_KEY],
        )
    )
    exec_properties[KIND_KEY] = source.kind
    exec_properties[keys.INPUT_BASE_KEY] = source.base
    exec_properties[keys.INPUT_CONFIG_KEY] = proto_utils.proto_to_json(input_config(source))
    if source.has_splits:
        output = json.loads(exec_properties[keys.OUTPUT_CONFIG_KEY])
        output.pop("split_config", None)
        exec_properties[keys.OUTPUT_CONFIG_KEY] = json.dumps(output)


def input_config(source: Source) -> example_gen_pb2.Input:
    """TFX's words for which files are read."""
    splits = [example_gen_pb2.Input.Split(name=name, pattern=glob) for name, glob in source.patterns.items()]
    return example_gen_pb2.Input(splits=splits)


def _written_digits() -> str:
    """The embedded digits as a folder of this machine, which is gone with the process."""
    folder = tempfile.mkdtemp(prefix="edgetune-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(write_digits(Path(folder) / "digits"))
