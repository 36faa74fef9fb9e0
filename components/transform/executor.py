"""Executor of the Transform component: TFX's, with batches and files made for images.

TFX's own batches grow until one takes a second, which means hundreds of images, several times in memory. TFX writes
through a sink that compresses in one thread at zlib level 6, which takes longer than decoding the images.
"""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.transform import executor as tfx_executor
from tfx.types import artifact_utils, standard_component_specs

from edgetune.components.common.examples import check_examples
from edgetune.components.common.lineage import record_recipe, stamp
from edgetune.components.common.outputs import empty
from edgetune.components.common.record_writer import WriteRecords, huffman_only, record_shards
from edgetune.modules.contracts import example_features
from edgetune.modules.core.errors import DataError
from edgetune.modules.core.replaced import replaced
from edgetune.modules.examples.pixel_packing import pack

LIBRARIES = (
    "tensorflow",  # decodes and resizes the images, and writes the graph
    "tensorflow-transform",  # makes the vocabulary and the graph
    "tfx",  # its executor does the work
)
_IMAGES_AT_A_TIME = 32


class Executor(tfx_executor.Executor):
    """Transforms the examples with `Processor` instead of TFX's own."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the graph and the transformed examples.

        Raises:
            DataError: The examples are not those that were written, or not all of a split were transformed.
        """
        stamp(output_dict, LIBRARIES)
        record_recipe(input_dict, output_dict, exec_properties)
        empty(output_dict)
        given = check_examples(input_dict[standard_component_specs.EXAMPLES_KEY])
        # TFX looks the class up by its name in the module, and has no hook for another one.
        with replaced(tfx_executor, "TransformProcessor", Processor):
            super().Do(input_dict, output_dict, exec_properties)
        transformed = artifact_utils.get_single_instance(output_dict[standard_component_specs.TRANSFORMED_EXAMPLES_KEY])
        splits = artifact_utils.decode_split_names(transformed.split_names)
        for split, count in record_shards(transformed, splits).items():
            if count != given[split]:
                raise DataError(
                    f"{transformed.uri}/Split-{split}: Transform wrote {count:,} examples of {given[split]:,}",
                    "run again with --no-cache",
                )


class Processor(tfx_executor.TransformProcessor):
    """Transforms a few images at a time, and writes on all cores."""

    def _GetDesiredBatchSize(self, data_format: int, schema: schema_pb2.Schema) -> int:  # noqa: N802 - TFX's name
        return _IMAGES_AT_A_TIME

    @staticmethod
    def _EncodeAndWrite(  # noqa: N802 - TFX's name
        schema: schema_pb2.Schema, file_format: str, output_path: str
    ) -> beam.PTransform:
        return _EncodeAndWrite(schema, output_path)


class _EncodeAndWrite(beam.PTransform):
    def __init__(self, schema: schema_pb2.Schema, prefix: str) -> None:
        super().__init__()
        self._schema, self._prefix = schema, prefix

    def expand(self, input_or_inputs: beam.PCollection) -> beam.PCollection:
        return (
            input_or_inputs
            | "Encode" >> beam.ParDo(tfx_executor.TransformProcessor._RecordBatchToExamplesFn(self._schema))
            | "Examples" >> beam.Values()
            | "Write" >> WriteRecords(self._prefix, huffman_only, _packed)
        )


def _packed(record: bytes) -> bytes:
    """Pack the pixels of an example from the graph for storage."""
    example = tf.train.Example.FromString(record)
    values = example.features.feature[example_features.IMAGE].bytes_list.value
    values[0] = pack(values[0])
    return bytes(example.SerializeToString())
