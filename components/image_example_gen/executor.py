"""Executor of the ImageExampleGen component: a Beam pipeline."""

from __future__ import annotations

import json
import os
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import proto_utils

from edgetune.components.common.lineage import stamp
from edgetune.components.common.names import DATA_BASE, EXAMPLES_KEY, INGEST_DIGEST, REPORT_KEY, SOURCE_FILE
from edgetune.components.common.outputs import empty
from edgetune.components.common.record_writer import WriteRecords, record_shards, uncompressed
from edgetune.components.image_example_gen import grouping, ingest_report, named_groups, split_memory, staging
from edgetune.components.image_example_gen.deferred_source import list_options, resolve_source
from edgetune.components.image_example_gen.raw_example import ACCEPTED, REJECTED, RecordFeatures
from edgetune.components.image_example_gen.read_images import ReadFolders, ReadManifest, ReadRecords
from edgetune.components.image_example_gen.row_kinds import LEFT_OUT, other_rows
from edgetune.components.image_example_gen.split_counts import SplitCounts
from edgetune.modules.contracts.example_features import SPLITS
from edgetune.modules.core import bounds, progress
from edgetune.modules.core.errors import DataError
from edgetune.modules.core.wording import counted
from edgetune.modules.core.worker_progress import SharedCount, counting
from edgetune.modules.data.columns import is_pattern
from edgetune.modules.data.findings import UnusableFiles
from edgetune.modules.data.groups import check_kind
from edgetune.modules.data.tfrecords import Bounds
from edgetune.modules.images.reading import Reading
from edgetune.modules.storage import filesystem

LIBRARIES = (
    "pillow",  # decodes and resizes what TensorFlow cannot read
    "pillow-heif",  # without it, HEIC is rejected
    "numpy",  # computes colours and perceptual hashes, for drift and near-duplicates
    "scipy",  # cosine transform of the hashes, and groups of near-duplicates
    "tensorflow",  # decodes, resizes and encodes
)
"""Libraries that determine which images are accepted, with which pixels and in which split."""
_SHOWN = 50
"""Number of rejected files that the report of a failed run names."""


class Executor(BaseBeamExecutor):
    """Reads every file once, stages the images, finds groups and splits, and writes the images to their splits.

    The files written beside the examples become the report.

    Between two shuffles, no step passes images to more than one other step: Beam's in-process runner would then hold
    all of them in memory. TFX's own way of writing examples shuffles them, so it is not used; the examples stay in the
    order in which they were read.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write examples and report.

        Raises:
            DataError: There are no data, a TFRecord file is damaged, too many files are unreadable, none is readable,
                or a split lacks a class; `UnusableFiles` if files were rejected.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        stamp(output_dict, LIBRARIES)
        empty(output_dict)
        resolve_source(exec_properties)
        report = artifact_utils.get_single_instance(output_dict[REPORT_KEY])
        examples = artifact_utils.get_single_instance(output_dict[EXAMPLES_KEY])
        shares = _shares(exec_properties)
        ingest_report.create_parts_folder(report.uri)
        remembered = self._run_pipeline(report.uri, examples, exec_properties, shares)
        record_shards(examples, SPLITS)
        ingest = ingest_report.assemble(report.uri, shares, _settings(exec_properties))
        filesystem.write(f"{report.uri}/{SOURCE_FILE}", json.dumps(_source(exec_properties), indent=1).encode() + b"\n")
        try:
            ingest_report.check(ingest, exec_properties["max_rejected"])
        except DataError as error:
            if not ingest.rejected:
                raise
            remedy = f"{error.remedy}; all rejected files: {ingest_report.keep_rejected(report.uri)}"
            content, rows = ingest_report.content(ingest), ingest_report.rejected_rows(report.uri, _SHOWN)
            raise UnusableFiles(error.cause, remedy, content, rows) from error
        if remembered:
            split_memory.commit(exec_properties["split_memory"], remembered)
        examples.set_string_custom_property("data_digest", ingest.data_digest)
        examples.set_string_custom_property(DATA_BASE, _source(exec_properties)["base"])
        progress.conclude(f"{counted(ingest.accepted, 'image')}, {ingest.rejected:,} rejected")
        for name in ("accepted", "rejected"):
            report.set_int_custom_property(name, getattr(ingest, name))
        report.set_string_custom_property(INGEST_DIGEST, ingest_report.digest(report.uri))

    def _run_pipeline(
        self, uri: str, examples: types.Artifact, exec_properties: dict[str, Any], shares: dict[str, int] | None
    ) -> str | None:
        """Read, group, split and write the images.

        Returns:
            The version of the split memory that was written, or None if there is no split memory.
        """
        memory_folder = exec_properties["split_memory"] if shares else ""
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        with counting("images read") as seen, self._make_beam_pipeline() as pipeline:
            facts, rejected = [], []
            for split, pattern in _inputs(exec_properties).items():
                prefix, given = ingest_report.images_prefix(uri, split), split if split in SPLITS else ""
                read = pipeline | f"Input[{split}]" >> _read(exec_properties, pattern, seen)
                accepted = read[ACCEPTED]
                if exec_properties["group"]:
                    accepted, without = _with_groups(accepted, exec_properties, split, pattern)
                    rejected += without
                facts.append(accepted | f"Stage[{split}]" >> beam.ParDo(staging.StageImages(prefix, given)))
                rejected.append(read[REJECTED])
            if exec_properties["source_kind"] == "images":
                patterns = list(_inputs(exec_properties).values())
                base = pipeline | "Base" >> beam.Create([exec_properties["input_base"]])
                rejected.append(base | "Others" >> beam.FlatMap(other_rows, patterns))
            memory = split_memory.read(pipeline, memory_folder)
            drop = exec_properties["on_duplicates"] == "drop"
            grouped = {
                "facts": facts | "Facts" >> beam.Flatten(),
                "memory": memory,
            } | "Group" >> grouping.GroupDuplicates(
                exec_properties["duplicate_distance"], shares, drop, bool(exec_properties["group"])
            )
            assigned, left_out = grouped[grouping.ASSIGNED], grouped[grouping.LEFT_OUT]
            (
                [*rejected, left_out | "Row" >> beam.Map(_left_out_row)]
                | "Rejected" >> beam.Flatten()
                | "AsJson" >> beam.Map(json.dumps)
                | "WriteRejected" >> beam.io.WriteToText(ingest_report.rejected_prefix(uri), skip_if_empty=True)
            )
            if exec_properties["group"] and shares:
                size = assigned | "LargestGroup" >> beam.ptransform_fn(named_groups.largest)(drop)
                size | "WriteLargest" >> beam.Map(_write_largest, uri)
            images = (assigned, left_out) | "Unstage" >> staging.UnstageImages(SPLITS)
            (
                [images[split] | f"Of[{split}]" >> beam.WithKeys(split) for split in SPLITS]
                | "OfAll" >> beam.Flatten()
                | "Count" >> beam.CombinePerKey(SplitCounts())
                | "WriteCounts" >> beam.Map(_write_counts, uri)
            )
            for split in SPLITS:
                prefix = f"{artifact_utils.get_split_uri([examples], split)}/data_tfrecord"
                (
                    images[split]
                    | f"Serialize[{split}]" >> beam.Map(lambda example: example.SerializeToString())
                    | f"Write[{split}]" >> WriteRecords(prefix, uncompressed)  # JPEG and PNG are compressed already
                )
            remembered = split_memory.write(memory, assigned, memory_folder) if memory_folder else None
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(examples, "tfrecords_gzip")
        return remembered


def _inputs(exec_properties: dict[str, Any]) -> dict[str, str]:
    """Return the file pattern of each split, under the single key `all` if the data have no splits."""
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties["input_config"], config)
    return {split.name: split.pattern for split in config.splits}


def _shares(exec_properties: dict[str, Any]) -> dict[str, int] | None:
    """Return the relative size of each split, or None if the data have their own splits."""
    config = example_gen_pb2.Output()
    proto_utils.json_to_proto(exec_properties["output_config"], config)
    return {split.name: split.hash_buckets for split in config.split_config.splits} or None


def _settings(exec_properties: dict[str, Any]) -> dict[str, Any]:
    """Return the read options that the report records, under the names of the settings."""
    background = list(bytes.fromhex(exec_properties["background"].removeprefix("#")))
    return {
        "max_pixels": exec_properties["max_pixels"],
        "max_side": exec_properties["max_side"] or None,
        "background": background,
    }


def _source(exec_properties: dict[str, Any]) -> dict[str, Any]:
    """Return the content of `source.json`, by which later components find the files and read them again."""
    base = exec_properties["input_base"]
    return {
        "kind": exec_properties["source_kind"],
        "base": base if filesystem.is_remote(base) else os.path.abspath(base),  # noqa: PTH100 - links stay as they are
        **_settings(exec_properties),
    }


@beam.ptransform_fn
def _read(
    pipeline: beam.Pipeline, exec_properties: dict[str, Any], pattern: str, seen: SharedCount
) -> beam.pvalue.DoOutputsTuple:
    """Return the accepted images of the files that match a pattern, and rows of the report about the rejected ones."""
    base = exec_properties["input_base"]
    options = Reading.of(exec_properties)
    most = Bounds(
        bounds.max_file_bytes(options.max_pixels), exec_properties["max_records"], exec_properties["max_unpack_ratio"]
    )
    read: beam.PTransform
    if exec_properties["source_kind"] == "images":
        read = ReadFolders(base, options, seen)
    elif exec_properties["source_kind"] == "manifest":
        read = ReadManifest(base, options, seen, list_options(exec_properties))
    else:
        names = exec_properties["image_feature"], exec_properties["label_feature"]
        features = RecordFeatures(*names, group=exec_properties["group"])
        read = ReadRecords(base, options, seen, features, most)
    return pipeline | "Pattern" >> beam.Create([f"{base}/{pattern}"]) | "Read" >> read


def _with_groups(
    accepted: beam.PCollection, exec_properties: dict[str, Any], split: str, pattern: str
) -> tuple[beam.PCollection, list[beam.PCollection]]:
    """Return accepted images with their groups, and rows about those without one; records have theirs already."""
    group, kind = exec_properties["group"], exec_properties["source_kind"]
    check_kind(group, kind)
    if kind == "manifest":
        path = f"{exec_properties['input_base']}/{pattern.rpartition('#')[0]}"
        accepted = accepted | f"OfLines[{split}]" >> beam.ParDo(
            named_groups.ByList(path, list_options(exec_properties))
        )
    if is_pattern(group):
        found = accepted | f"Groups[{split}]" >> named_groups.ByPath(group)
        return found[ACCEPTED], [found[REJECTED]]
    return accepted, []


def _write_largest(largest: tuple[int, str], uri: str) -> None:
    filesystem.write(ingest_report.largest_path(uri), json.dumps(largest).encode())


def _left_out_row(left: grouping.LeftOut) -> dict[str, Any]:
    return {"path": left.file.source, "reason": left.reason, LEFT_OUT: True}


def _write_counts(counted: tuple[str, dict[str, Any]], uri: str) -> None:
    split, counts = counted
    filesystem.write(ingest_report.counts_path(uri, split), json.dumps(counts).encode())
