"""Executor of the EdgeExporter component."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from edgetune.components.common.examples import check_examples
from edgetune.components.common.lineage import record_recipe, stamp
from edgetune.components.common.names import CONVERTED_MODEL_KEY, FILES_SHA256, MODEL_KEY
from edgetune.components.common.outputs import empty
from edgetune.modules.contracts.bundle import model_file
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.conversion.convert import convert
from edgetune.modules.core.errors import ExportError
from edgetune.modules.examples.calibration_images import representative_images
from edgetune.modules.litert import inspection
from edgetune.modules.serving import saved_model as saved_model_reader
from edgetune.modules.settings.base import as_list

LIBRARIES = (
    "tensorflow",  # converts and quantizes
    "ai-edge-litert",  # has the schema by which the files are checked
    "numpy",  # equalizes the weights before they are quantized
)


class Executor(base_executor.BaseExecutor):
    """Converts the model, checks each variant, and writes the files."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write every variant of the model.

        Raises:
            ExportError: A variant cannot be converted, or does not meet the needs of clients.
            DataError: The train split is empty, or the examples are not those that were written.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        stamp(output_dict, LIBRARIES)
        record_recipe(input_dict, output_dict, exec_properties)
        empty(output_dict)
        check_examples(input_dict["transformed_examples"])
        saved_model = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict[MODEL_KEY]))
        examples = artifact_utils.get_single_uri(input_dict["transformed_examples"])
        converted = artifact_utils.get_single_instance(output_dict[CONVERTED_MODEL_KEY])

        labels = saved_model_reader.read_labels(saved_model)
        image_size, classes = saved_model_reader.edge_shape(saved_model)
        if len(labels) != classes:
            remedy = "the trainer must write as many labels as the model has outputs"
            raise ExportError(f"{saved_model}: {len(labels)} labels for {classes} outputs", remedy)
        images = representative_images(examples, image_size, exec_properties["representative_images"])
        variants = as_list(exec_properties["variants"])
        files = {LABELS_FILE: "".join(f"{label}\n" for label in labels).encode()}
        for variant, content in convert(saved_model, variants, images).items():
            facts = inspection.inspect(content)
            if problems := inspection.problems(facts, variant, image_size, classes):
                remedy = "change the model, or leave the variant out of edge.variants"
                raise ExportError(f"edge variant {variant}: {'; '.join(problems)}", remedy)
            files[model_file(variant)] = content
        tf.io.gfile.makedirs(converted.uri)
        for name, content in files.items():
            with tf.io.gfile.GFile(f"{converted.uri}/{name}", "wb") as file:
                file.write(content)
        # EdgeDescriber may read them months later.
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        converted.set_string_custom_property(FILES_SHA256, json.dumps(digests, sort_keys=True))
        converted.set_string_custom_property("variants", ", ".join(variants))
        converted.set_string_custom_property("code_digest", exec_properties["code_digest"])
