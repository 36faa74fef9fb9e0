"""Hook that Vertex runs before a cache lookup, to detect changes in the folder of images.

TFX compiles such a hook into every ExampleGen that reads files. TFX's own command knows only its patterns, and adds up
sizes and times. This replacement has the same interface and returns the fingerprint of `driver.Driver`, which detects
moved images. Kubeflow Pipelines has no such hook, so there ImageExampleGen is never served from the cache.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from absl import logging
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.components.example_gen import utils
from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils

from edgetune.components.image_example_gen.deferred_source import resolve_source
from edgetune.components.image_example_gen.driver import fingerprint
from edgetune.modules.data.digits import EMBEDDED
from edgetune.pipeline.kubeflow.container_entry import exit_on_user_error


def fingerprint_output(exec_properties: dict[str, Any]) -> pipeline_spec_pb2.ExecutorOutput:
    """Return the fingerprint as an additional execution property, so that the cache compares it.

    Raises:
        DataError: There are no data, or they cannot be read.
    """
    output = pipeline_spec_pb2.ExecutorOutput()
    # The embedded digits never change.
    found = EMBEDDED
    if exec_properties["input_base"] != EMBEDDED:
        resolve_source(exec_properties)
        found = fingerprint(exec_properties)
    output.parameter_values[utils.FINGERPRINT_PROPERTY_NAME].string_value = found
    return output


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the executor input from the command line, and write the fingerprint to its output file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", required=True)
    options, _ = parser.parse_known_args(arguments)  # flags for Beam follow
    logging.set_verbosity(logging.INFO)
    given = json_format.Parse(
        options.json_serialized_invocation_args, pipeline_spec_pb2.ExecutorInput(), ignore_unknown_fields=True
    )
    inputs = json_format.Parse(
        options.json_serialized_inputs_spec_args, pipeline_spec_pb2.ComponentInputsSpec(), ignore_unknown_fields=True
    )
    exec_properties = kubeflow_v2_entrypoint_utils.parse_execution_properties(
        given.inputs.parameter_values, given.inputs.parameters, inputs
    )
    with exit_on_user_error():
        output = fingerprint_output(exec_properties)
    fileio.makedirs(given.outputs.output_file.rpartition("/")[0])
    with fileio.open(given.outputs.output_file, "w") as file:
        file.write(json_format.MessageToJson(output, sort_keys=True))


if __name__ == "__main__":
    main()
