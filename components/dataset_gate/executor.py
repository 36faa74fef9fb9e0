"""Executor of the DatasetGate component. A Beam pipeline examines the images, so no process holds all of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils

from edgetune.components.common.examples import check_examples
from edgetune.components.common.lineage import stamp
from edgetune.components.common.names import (
    BASELINE_STATISTICS_KEY,
    EXAMPLES_KEY,
    FINDINGS_FILE,
    FINDINGS_KEY,
    INGEST_FILE,
    REPORT_KEY,
    STATISTICS_KEY,
)
from edgetune.components.common.outputs import empty
from edgetune.components.dataset_gate.drift import drifted
from edgetune.modules.contracts import example_features
from edgetune.modules.core.errors import DataError
from edgetune.modules.data.findings import (
    Copy,
    Finding,
    FindingsError,
    anomalies,
    imbalance,
    is_allowed,
    same_images,
    small_classes,
    small_images,
    with_files,
)

ANOMALIES_KEY, BASELINE_KEY = "anomalies", BASELINE_STATISTICS_KEY
LIBRARIES = ("tensorflow-data-validation",)  # measures drift; the other findings only need counting
_NAMED = 10


class Executor(BaseBeamExecutor):
    """Collects all findings, writes them, and fails if any of them is not allowed."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the findings, and fail unless all are allowed.

        Raises:
            FindingsError: A finding is not allowed; up to ten are named.
            DataError: A split was not validated, or the examples are not those that were written.
        """
        stamp(output_dict, LIBRARIES)
        empty(output_dict)
        check_examples(input_dict[EXAMPLES_KEY])
        inputs = {key: artifact_utils.get_single_instance(found) for key, found in input_dict.items() if found}
        output = artifact_utils.get_single_instance(output_dict[FINDINGS_KEY])
        with tf.io.gfile.GFile(f"{inputs[REPORT_KEY].uri}/{INGEST_FILE}") as file:
            ingest = json.load(file)
        of_classes = small_classes(ingest["splits"], exec_properties["min_examples_per_class"])
        of_classes += imbalance(ingest["splits"], exec_properties["max_imbalance"])
        found: list[Finding] = []
        for split in example_features.SPLITS:
            found += anomalies(split, _anomaly_descriptions(f"{inputs[ANOMALIES_KEY].uri}/Split-{split}/SchemaDiff.pb"))
        if BASELINE_KEY in inputs:
            bounds = exec_properties["max_label_drift"], exec_properties["max_image_drift"]
            found += drifted(inputs[STATISTICS_KEY].uri, inputs[BASELINE_KEY].uri, *bounds)
        of_images, by_class = self._images(
            inputs[EXAMPLES_KEY].uri, f"{output.uri}/images", exec_properties, of_classes
        )
        found = [*with_files(of_classes, by_class), *found, *of_images]
        allowed = json.loads(exec_properties["allow"])
        listed = [{**asdict(finding), "allowed": is_allowed(finding, allowed)} for finding in found]
        with tf.io.gfile.GFile(f"{output.uri}/{FINDINGS_FILE}", "w") as file:
            file.write(json.dumps({"findings": listed}, indent=2) + "\n")
        if refused := [finding for finding in found if not is_allowed(finding, allowed)]:
            raise FindingsError(refused)
        output.set_int_custom_property("findings", len(found))
        if found:
            output.set_string_custom_property("allowed", exec_properties["allow"])
            output.set_string_custom_property("allowed_by", exec_properties["allowed_by"])

    def _images(
        self, examples_uri: str, prefix: str, exec_properties: dict[str, Any], of_classes: Iterable[Finding]
    ) -> tuple[list[Finding], dict[str, list[str]]]:
        """Return the findings about images and groups of images, and the first files of each class in `of_classes`."""
        smallest, classes = exec_properties["min_side"], {finding.subject for finding in of_classes}
        with self._make_beam_pipeline() as pipeline:
            by_split = [
                pipeline
                | f"Read[{split}]" >> beam.io.ReadFromTFRecord(f"{examples_uri}/Split-{split}/*")
                | f"Describe[{split}]" >> beam.Map(_describe, split)
                for split in example_features.SPLITS
            ]
            images = by_split | beam.Flatten()
            (
                images
                | "Copy" >> beam.MapTuple(lambda group, copy, _: (group, copy))
                | "ByGroup" >> beam.GroupByKey()
                | "Findings" >> beam.FlatMap(_duplicate_findings, exec_properties["on_duplicates"] == "fail")
                | "Write" >> beam.io.WriteToText(f"{prefix}-same", skip_if_empty=True)
            )
            (
                images
                | "WithFinding" >> beam.Filter(lambda image: image[1].label in classes)
                | "OfClass" >> beam.MapTuple(lambda _, copy, side: (copy.label, os.fsencode(copy.source)))
                | "FirstOfClass" >> beam.CombinePerKey(beam.combiners.TopCombineFn(_NAMED, reverse=True))
                | "JsonOfClass" >> beam.MapTuple(lambda label, first: json.dumps([label, _as_text(first)]))
                | "WriteOfClass" >> beam.io.WriteToText(f"{prefix}-classes", skip_if_empty=True)
            )
            small = (
                images
                | "Small" >> beam.Filter(lambda image: image[2] < smallest)
                | "Source" >> beam.MapTuple(lambda _, copy, side: os.fsencode(copy.source))
            )
            for what, combine in (
                ("count", beam.combiners.CountCombineFn()),
                ("first", beam.combiners.TopCombineFn(_NAMED, reverse=True)),
            ):
                (
                    small
                    | f"Combine[{what}]" >> beam.CombineGlobally(combine)
                    | f"Json[{what}]" >> beam.Map(_as_json)
                    | f"Write[{what}]" >> beam.io.WriteToText(f"{prefix}-{what}")
                )
        same = [json.loads(line) for line in sorted(_pop_lines(f"{prefix}-same*"))]
        [count], [first] = (
            [json.loads(line) for line in _pop_lines(f"{prefix}-{what}*")] for what in ("count", "first")
        )
        found = [Finding(**{**finding, "files": tuple(finding["files"])}) for finding in same]
        return found + small_images(count, first, smallest), dict(map(json.loads, _pop_lines(f"{prefix}-classes*")))


def _describe(record: bytes, split: str) -> tuple[bytes, Copy, int]:
    """Return an image's group, its split, label, file and id, and its shorter side in pixels."""
    features = tf.train.Example.FromString(record).features.feature
    label, source, image_id, group = (
        features[key].bytes_list.value[0]
        for key in (
            example_features.LABEL,
            example_features.SOURCE,
            example_features.IMAGE_ID,
            example_features.SPLIT_GROUP,
        )
    )
    side = min(features[key].int64_list.value[0] for key in (example_features.WIDTH, example_features.HEIGHT))
    return group, Copy(split, label.decode("utf-8"), os.fsdecode(source), image_id.decode()), side


def _duplicate_findings(group: tuple[bytes, Iterable[Copy]], one_only: bool) -> Iterator[str]:
    for finding in same_images(group[1], one_only):
        yield json.dumps(asdict(finding))


def _as_json(value: int | list[bytes]) -> str:
    return json.dumps(value if isinstance(value, int) else _as_text(value))


def _as_text(sources: list[bytes]) -> list[str]:
    return [os.fsdecode(source) for source in sources]


def _pop_lines(pattern: str) -> list[str]:
    """Return the lines of all files that match, and remove the files."""
    lines: list[str] = []
    for path in tf.io.gfile.glob(pattern):
        with tf.io.gfile.GFile(path) as file:
            lines += file.read().splitlines()
        tf.io.gfile.remove(path)
    return lines


def _anomaly_descriptions(path: str) -> dict[str, str]:
    """Return the descriptions by feature in a file that ExampleValidator wrote.

    Raises:
        DataError: The file does not exist, so the split was not validated.
    """
    if not tf.io.gfile.exists(path):
        raise DataError(f"{path} is missing: a split was not validated", "run the pipeline again with --no-cache")
    with tf.io.gfile.GFile(path, "rb") as file:
        found = anomalies_pb2.Anomalies.FromString(file.read())
    described = {name: info.description for name, info in found.anomaly_info.items()}
    if found.HasField("dataset_anomaly_info"):
        described[""] = found.dataset_anomaly_info.description
    return described
