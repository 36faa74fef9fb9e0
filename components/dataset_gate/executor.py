"""Executor of the DatasetGate component. A Beam pipeline examines the images, so no process holds all of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils

from edgetune.components.common.examples import check_examples
from edgetune.components.common.findings import with_thumbnails, write_findings
from edgetune.components.common.lineage import stamp
from edgetune.components.common.names import (
    BASELINE_STATISTICS_KEY,
    DATA_BASE,
    EXAMPLES_KEY,
    FINDINGS_KEY,
    INGEST_FILE,
    REPORT_KEY,
    STATISTICS_KEY,
)
from edgetune.components.common.outputs import empty
from edgetune.components.dataset_gate.drift import drifted
from edgetune.modules.contracts import example_features
from edgetune.modules.core.errors import DataError
from edgetune.modules.data import picture_findings
from edgetune.modules.data.class_findings import imbalance, small_classes, with_files
from edgetune.modules.data.class_names import similar_classes
from edgetune.modules.data.copy_findings import Copy, near_duplicates, same_images, torn_group
from edgetune.modules.data.drift_findings import anomalies, another_data_set
from edgetune.modules.data.findings import Finding, Picture
from edgetune.modules.data.picture_findings import small_images
from edgetune.modules.images.picture_facts import PictureFacts

ANOMALIES_KEY, BASELINE_KEY = "anomalies", BASELINE_STATISTICS_KEY
LIBRARIES = ("tensorflow-data-validation",)  # measures drift; the other findings only need counting
_NAMED = 10
_ALIKE_GROUPS, _ALIKE_FILES = 8, 4
"""Groups of near-duplicates that the report shows, and files of each."""


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
        of_classes = similar_classes(set().union(*ingest["splits"].values()))
        of_classes += small_classes(ingest["splits"], exec_properties["min_examples_per_class"])
        of_classes += imbalance(ingest["splits"], exec_properties["max_imbalance"])
        found: list[Finding] = []
        for split in example_features.SPLITS:
            found += anomalies(split, _anomaly_descriptions(f"{inputs[ANOMALIES_KEY].uri}/Split-{split}/SchemaDiff.pb"))
        if BASELINE_KEY in inputs:
            bounds = exec_properties["max_label_drift"], exec_properties["max_image_drift"]
            of_drift = drifted(inputs[STATISTICS_KEY].uri, inputs[BASELINE_KEY].uri, *bounds)
            places = (inputs[key].get_string_custom_property(DATA_BASE) for key in (STATISTICS_KEY, BASELINE_KEY))
            found += another_data_set(of_drift, *places)
        total = _total(ingest["splits"])
        of_images, by_class, (groups, images, alike) = self._images(
            inputs[EXAMPLES_KEY].uri, f"{output.uri}/images", exec_properties, of_classes, total
        )
        found = [*with_files(of_classes, by_class), *found, *of_images]
        notes = near_duplicates(groups, images, total, exec_properties["on_duplicates"], alike)
        allowed = json.loads(exec_properties["allow"])
        write_findings(output, found, allowed, exec_properties["allowed_by"], notes)

    def _images(
        self,
        examples_uri: str,
        prefix: str,
        exec_properties: dict[str, Any],
        of_classes: Iterable[Finding],
        total: int,
    ) -> tuple[list[Finding], dict[str, list[str]], tuple[int, int, list[list[str]]]]:
        """Return findings about images and groups of images, and the first files of each class in `of_classes`.

        The third is the number of groups of near-duplicates, of the images in them, and files of some of the groups.
        """
        smallest, classes = exec_properties["min_side"], {finding.subject for finding in of_classes}
        with self._make_beam_pipeline() as pipeline:
            by_split = [
                pipeline
                | f"Read[{split}]" >> beam.io.ReadFromTFRecord(f"{examples_uri}/Split-{split}/*")
                | f"Describe[{split}]" >> beam.Map(_describe, split, exec_properties["image_size"])
                for split in example_features.SPLITS
            ]
            images = by_split | beam.Flatten()
            alike = (
                images | "Copy" >> beam.Map(lambda image: (image.alike, image.copy)) | "ByGroup" >> beam.GroupByKey()
            )
            (
                alike
                | "Alike" >> beam.FlatMap(_files_alike)
                | "FirstAlike" >> beam.CombineGlobally(beam.combiners.TopCombineFn(_ALIKE_GROUPS, reverse=True))
                | "JsonAlike" >> beam.Map(lambda groups: json.dumps([_as_text(files) for files in groups]))
                | "WriteAlike" >> beam.io.WriteToText(f"{prefix}-alike")
            )
            (
                alike
                | "Findings" >> beam.FlatMap(_duplicate_findings, exec_properties["on_duplicates"] == "fail")
                | "Write" >> beam.io.WriteToText(f"{prefix}-same", skip_if_empty=True)
            )
            if exec_properties["group"]:
                (
                    images
                    | "OfSplitGroup" >> beam.Map(lambda image: (image.group, (image.alike, image.copy)))
                    | "BySplitGroup" >> beam.GroupByKey()
                    | "GroupFindings" >> beam.FlatMap(_group_findings)
                    | "WriteGroups" >> beam.io.WriteToText(f"{prefix}-same-groups", skip_if_empty=True)
                )
            (
                images
                | "WithFinding" >> beam.Filter(lambda image: image.copy.label in classes)
                | "OfClass" >> beam.Map(lambda image: (image.copy.label, os.fsencode(image.copy.source)))
                | "FirstOfClass" >> beam.CombinePerKey(beam.combiners.TopCombineFn(_NAMED, reverse=True))
                | "JsonOfClass" >> beam.MapTuple(lambda label, first: json.dumps([label, _as_text(first)]))
                | "WriteOfClass" >> beam.io.WriteToText(f"{prefix}-classes", skip_if_empty=True)
            )
            (
                images
                | "Group" >> beam.Map(lambda image: image.alike)
                | "Sizes" >> beam.combiners.Count.PerElement()
                | "OfSeveral" >> beam.Filter(lambda counted: counted[1] > 1)
                | "Twice" >> beam.MapTuple(lambda group, size: (size, size))
                | "Sum" >> beam.CombineGlobally(beam.combiners.TupleCombineFn(beam.combiners.CountCombineFn(), sum))
                | "JsonOfGroups" >> beam.Map(json.dumps)
                | "WriteSizes" >> beam.io.WriteToText(f"{prefix}-groups")
            )
            (
                images
                | "Flaws" >> beam.FlatMap(_flaws)
                | "OfKind" >> beam.CombinePerKey(_count_and_first(picture_findings.MOST_PICTURES))
                | "JsonOfKind" >> beam.MapTuple(_kind_as_json)
                | "WriteOfKind" >> beam.io.WriteToText(f"{prefix}-pictures", skip_if_empty=True)
            )
            small = (
                images
                | "Small" >> beam.Filter(lambda image: image.side < smallest)
                | "Source" >> beam.Map(lambda image: os.fsencode(image.copy.source))
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
        found = [Finding.of(finding) for finding in same] + small_images(count, first, smallest)
        flawed = {
            kind: (number, [Picture(file, score=score) for score, file in first])
            for kind, number, first in map(json.loads, _pop_lines(f"{prefix}-pictures*"))
        }
        found += picture_findings.all_pictures(flawed, total)
        [(groups, copies)] = map(json.loads, _pop_lines(f"{prefix}-groups*"))
        [of_groups] = map(json.loads, _pop_lines(f"{prefix}-alike*"))
        by_class = dict(map(json.loads, _pop_lines(f"{prefix}-classes*")))
        return with_thumbnails(found, examples_uri), by_class, (groups, copies, of_groups)


def _total(splits: Mapping[str, Mapping[str, int]]) -> int:
    return sum(sum(classes.values()) for classes in splits.values())


@dataclass(frozen=True, slots=True)
class _Image:
    """What the findings need of an image."""

    group: bytes
    """Of images that no split may separate."""
    alike: bytes
    """Of its near-duplicates."""
    copy: Copy
    side: int
    """Shorter side in pixels."""
    flaws: tuple[tuple[str, float], ...]
    """As of `picture_findings.flaws`."""


def _describe(record: bytes, split: str, image_size: int) -> _Image:
    features = tf.train.Example.FromString(record).features.feature
    label, source, image_id, group, alike = (
        features[key].bytes_list.value[0]
        for key in (
            example_features.LABEL,
            example_features.SOURCE,
            example_features.IMAGE_ID,
            example_features.SPLIT_GROUP,
            example_features.DUPLICATE_GROUP,
        )
    )
    width, height = (features[key].int64_list.value[0] for key in (example_features.WIDTH, example_features.HEIGHT))
    facts = PictureFacts(**{field.name: features[field.name].float_list.value[0] for field in fields(PictureFacts)})
    copy = Copy(split, label.decode("utf-8"), os.fsdecode(source), image_id.decode())
    flaws = tuple(picture_findings.flaws(facts, width, height, image_size))
    return _Image(group, alike, copy, min(width, height), flaws)


def _flaws(image: _Image) -> Iterator[tuple[str, tuple[float, bytes]]]:
    for kind, score in image.flaws:
        yield kind, (score, os.fsencode(image.copy.source))


def _count_and_first(most: int) -> beam.CombineFn:
    """Combine scores and files to their number and the files with the lowest scores."""
    first = beam.combiners.TopCombineFn(most, reverse=True)
    return beam.combiners.SingleInputTupleCombineFn(beam.combiners.CountCombineFn(), first)


def _kind_as_json(kind: str, found: tuple[int, list[tuple[float, bytes]]]) -> str:
    number, first = found
    return json.dumps([kind, number, [(score, os.fsdecode(source)) for score, source in first]])


def _files_alike(group: tuple[bytes, Iterable[Copy]]) -> Iterator[list[bytes]]:
    """Yield the first files of a group of near-duplicates."""
    files = sorted(os.fsencode(copy.source) for copy in group[1])
    if len(files) > 1:
        yield files[:_ALIKE_FILES]


def _duplicate_findings(group: tuple[bytes, Iterable[Copy]], one_only: bool) -> Iterator[str]:
    for finding in same_images(group[1], one_only):
        yield json.dumps(asdict(finding))


def _group_findings(group: tuple[bytes, Iterable[tuple[bytes, Copy]]]) -> Iterator[str]:
    listed = list(group[1])
    if len({alike for alike, _ in listed}) > 1:  # near-duplicates alone are found as such
        for finding in torn_group(copy for _, copy in listed):
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
