"""The component ImageExampleGen: its work, as a Beam pipeline."""

from __future__ import annotations

import json
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import proto_utils

from components.image_example_gen import grouping, ingest_report, placement, split_memory
from components.image_example_gen.read import ACCEPTED, REJECTED, ReadFolders, Reading, ReadManifest, ReadRecords
from components.image_example_gen.tally import Tally
from modules.errors import DataError
from modules.records import SPLITS

REPORT_KEY = "report"
_REPORT_URI = "_report_uri"


class Executor(BaseExampleGenExecutor):
    """Reads every file once, and knows all images before it places the first.

    Two Beam pipelines: the first reads, and finds groups and splits; the second puts the images that the first laid
    aside where they go. What both write beside the examples becomes the report.
    """

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
        shares = _shares(exec_properties)
        remembered = self._read_and_group(exec_properties, shares)
        super().Do(input_dict, output_dict, exec_properties)
        ingest = ingest_report.assemble(report.uri, shares)
        try:
            ingest_report.check(ingest, exec_properties["max_rejected"])
        except DataError as error:
            if not ingest.rejected:
                raise
            kept = ingest_report.keep_rejected(report.uri)
            raise DataError(error.cause, f"{error.remedy}; all that was rejected: {kept}") from error
        if remembered:
            split_memory.commit(exec_properties["split_memory"], remembered)
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        examples.set_string_custom_property("data_digest", ingest.data_digest)
        for name in ("accepted", "rejected"):
            report.set_int_custom_property(name, getattr(ingest, name))

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:  # noqa: N802 - TFX's name
        """Files that match a pattern, to tf.Examples."""
        return _to_examples

    def _read_and_group(self, exec_properties: dict[str, Any], shares: dict[str, int] | None) -> str | None:
        """Lays the images aside, and writes where they go.

        Returns:
            The version of the split memory that holds it; None where there is none.
        """
        uri, memory_folder = exec_properties[_REPORT_URI], exec_properties["split_memory"] if shares else ""
        with self._make_beam_pipeline() as pipeline:
            facts = []
            for split, pattern in _inputs(exec_properties).items():
                examples = (
                    pipeline
                    | f"Input[{split}]" >> _to_examples(exec_properties, pattern)
                    | f"Serialize[{split}]" >> beam.Map(lambda example: example.SerializeToString())
                )
                examples | f"LayAside[{split}]" >> beam.io.WriteToTFRecord(ingest_report.images_prefix(uri, split))
                facts.append(examples | f"Fact[{split}]" >> beam.Map(placement.fact, split if split in SPLITS else ""))
            memory = split_memory.read(pipeline, memory_folder)
            drop = exec_properties["on_duplicates"] == "drop"
            grouped = {"facts": facts | "Facts" >> beam.Flatten(), "memory": memory} | "Group" >> grouping.Group(
                exec_properties["duplicate_distance"], shares, drop
            )
            placed = grouped[grouping.PLACED]
            (
                placed
                | "Line" >> beam.Map(placement.line)
                | "WritePlaced" >> beam.io.WriteToText(ingest_report.placed_prefix(uri))
            )
            grouped[grouping.LEFT_OUT] | "WriteLeftOut" >> beam.io.WriteToText(ingest_report.left_out_prefix(uri))
            return split_memory.write(memory, placed, memory_folder) if memory_folder else None

    def GenerateExamplesByBeam(  # noqa: N802 - TFX's name
        self, pipeline: beam.Pipeline, exec_properties: dict[str, Any]
    ) -> dict[str, beam.PCollection]:
        """The images that were laid aside, by split; each split is counted on the way."""
        uri = exec_properties[_REPORT_URI]
        tables = f"{ingest_report.placed_prefix(uri)}*", f"{ingest_report.left_out_prefix(uri)}*"
        parts: dict[str, list[beam.PCollection]] = {split: [] for split in SPLITS}
        for split in _inputs(exec_properties):
            given = split if split in SPLITS else None
            images = (
                pipeline
                | f"Images[{split}]" >> beam.io.ReadFromTFRecord(f"{ingest_report.images_prefix(uri, split)}*")
                | f"Place[{split}]" >> beam.ParDo(placement.Place(*tables, given)).with_outputs(*SPLITS)
            )
            for name in [given] if given else SPLITS:
                parts[name].append(images[name])
        splits = {}
        for split, examples in parts.items():
            splits[split] = examples | f"Split[{split}]" >> beam.Flatten()
            tally = splits[split] | f"Tally[{split}]" >> beam.CombineGlobally(Tally())
            tally | f"WriteTally[{split}]" >> beam.Map(_write, ingest_report.counts_path(uri, split))
        return splits


def _inputs(exec_properties: dict[str, Any]) -> dict[str, str]:
    """Pattern by split; by the single key `all` where the data has no splits."""
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties["input_config"], config)
    return {split.name: split.pattern for split in config.splits}


def _shares(exec_properties: dict[str, Any]) -> dict[str, int] | None:
    """Relative size by split; None where the data has its own splits."""
    config = example_gen_pb2.Output()
    proto_utils.json_to_proto(exec_properties["output_config"], config)
    return {split.name: split.hash_buckets for split in config.split_config.splits} or None


@beam.ptransform_fn
def _to_examples(pipeline: beam.Pipeline, exec_properties: dict[str, Any], pattern: str) -> beam.PCollection:
    base = exec_properties["input_base"]
    reading = Reading(exec_properties["max_pixels"], exec_properties["max_side"] or None, exec_properties["background"])
    read: beam.PTransform
    if exec_properties["source_kind"] == "images":
        read = ReadFolders(base, reading)
    elif exec_properties["source_kind"] == "manifest":
        read = ReadManifest(base, reading)
    else:
        read = ReadRecords(base, reading, exec_properties["image_feature"], exec_properties["label_feature"])
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
