"""The component ImageExampleGen: its work, as a Beam pipeline."""

from __future__ import annotations

import json
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.types import artifact_utils

from components.image_example_gen import ingest_report
from components.image_example_gen.read import ACCEPTED, REJECTED, ReadFiles, ReadRecords
from components.image_example_gen.tally import Tally

REPORT_KEY = "report"
_REPORT_URI = "_report_uri"


class Executor(BaseExampleGenExecutor):
    """Reads every file once; counts and rejections are written by the same Beam pipeline that writes the examples."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes examples and report.

        Raises:
            DataError: Too many files are unreadable, none is readable, or a split lacks a class.
        """
        report = artifact_utils.get_single_instance(output_dict[REPORT_KEY])
        exec_properties[_REPORT_URI] = report.uri
        super().Do(input_dict, output_dict, exec_properties)
        ingest = ingest_report.assemble(report.uri, exec_properties["source_kind"] == "images")
        ingest_report.check(ingest, exec_properties["max_rejected"])
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        examples.set_string_custom_property("data_digest", ingest.data_digest)
        for name in ("accepted", "rejected"):
            report.set_int_custom_property(name, getattr(ingest, name))

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:  # noqa: N802 - TFX's name
        """Files that match a pattern, to tf.Examples."""
        return _to_examples

    def GenerateExamplesByBeam(  # noqa: N802 - TFX's name
        self, pipeline: beam.Pipeline, exec_properties: dict[str, Any]
    ) -> dict[str, beam.PCollection]:
        """As TFX does, and counts each split on the way."""
        splits = super().GenerateExamplesByBeam(pipeline, exec_properties)
        for split, examples in splits.items():
            path = ingest_report.counts_path(exec_properties[_REPORT_URI], split)
            tally = examples | f"Tally[{split}]" >> beam.CombineGlobally(Tally())
            tally | f"WriteTally[{split}]" >> beam.Map(_write, path)
        return splits


@beam.ptransform_fn
def _to_examples(pipeline: beam.Pipeline, exec_properties: dict[str, Any], pattern: str) -> beam.PCollection:
    base = exec_properties["input_base"]
    if exec_properties["source_kind"] == "images":
        read = ReadFiles(base, exec_properties["max_pixels"])
    else:
        features = exec_properties["image_feature"], exec_properties["label_feature"]
        read = ReadRecords(base, exec_properties["max_pixels"], *features)
    images = pipeline | "Pattern" >> beam.Create([f"{base}/{pattern}"]) | "Read" >> read
    (
        images[REJECTED]
        | "AsJson" >> beam.Map(json.dumps)
        | "WriteRejected" >> beam.io.WriteToText(ingest_report.rejected_prefix(exec_properties[_REPORT_URI], pattern))
    )
    return images[ACCEPTED]


def _write(content: Any, path: str) -> None:
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(content))
