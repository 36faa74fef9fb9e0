"""The component DatasetGate: its work. Equal images are found by a Beam pipeline, so no process holds all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils

from modules import records
from modules.errors import DataError
from modules.findings import Copy, Finding, anomalies, identical_images, small_classes

EXAMPLES_KEY, ANOMALIES_KEY, REPORT_KEY, FINDINGS_KEY = "examples", "anomalies", "report", "findings"
_NAMED = 10


class Executor(BaseBeamExecutor):
    """Collects all findings, writes them, and fails if there are any."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Judges the data.

        Raises:
            DataError: There is a finding; up to ten are named.
        """
        inputs = {key: artifact_utils.get_single_instance(artifacts) for key, artifacts in input_dict.items()}
        output = artifact_utils.get_single_instance(output_dict[FINDINGS_KEY])
        with tf.io.gfile.GFile(f"{inputs[REPORT_KEY].uri}/ingest.json") as file:
            ingest = json.load(file)
        found = small_classes(ingest["splits"], exec_properties["min_examples_per_class"])
        for split in records.SPLITS:
            found += anomalies(split, _described(f"{inputs[ANOMALIES_KEY].uri}/Split-{split}/SchemaDiff.pb"))
        found += self._identical_images(inputs[EXAMPLES_KEY].uri, f"{output.uri}/identical")
        with tf.io.gfile.GFile(f"{output.uri}/findings.json", "w") as file:
            file.write(json.dumps({"findings": [asdict(finding) for finding in found]}, indent=2) + "\n")
        if found:
            raise DataError(_sentence(found), found[0].remedy if len(found) == 1 else "each is named with its remedy")

    def _identical_images(self, examples_uri: str, prefix: str) -> list[Finding]:
        with self._make_beam_pipeline() as pipeline:
            places = [
                pipeline
                | f"Read[{split}]" >> beam.io.ReadFromTFRecord(f"{examples_uri}/Split-{split}/*")
                | f"Place[{split}]" >> beam.Map(_place, split)
                for split in records.SPLITS
            ]
            (
                places
                | beam.Flatten()
                | "ByPixels" >> beam.GroupByKey()
                | "Judge" >> beam.FlatMap(_judge)
                | "Write" >> beam.io.WriteToText(prefix)
            )
        lines: list[str] = []
        for path in tf.io.gfile.glob(f"{prefix}*"):
            with tf.io.gfile.GFile(path) as file:
                lines += file.read().splitlines()
            tf.io.gfile.remove(path)
        return [Finding(**{**finding, "files": tuple(finding["files"])}) for finding in map(json.loads, sorted(lines))]


def _place(record: bytes, split: str) -> tuple[bytes, tuple[str, str, str]]:
    features = tf.train.Example.FromString(record).features.feature
    label, source, image_id = (
        features[key].bytes_list.value[0] for key in (records.LABEL, records.SOURCE, records.IMAGE_ID)
    )
    return image_id, (split, label.decode("utf-8"), source.decode("utf-8", "replace"))


def _judge(group: tuple[bytes, Iterable[tuple[str, str, str]]]) -> Iterator[str]:
    for finding in identical_images(Copy(*place) for place in group[1]):
        yield json.dumps(asdict(finding))


def _described(path: str) -> dict[str, str]:
    """Descriptions by feature in a file that ExampleValidator wrote.

    Raises:
        DataError: There is no such file: what was not validated does not pass.
    """
    if not tf.io.gfile.exists(path):
        raise DataError(f"{path} is missing: a split was not validated", "run the pipeline again with --no-cache")
    with tf.io.gfile.GFile(path, "rb") as file:
        found = anomalies_pb2.Anomalies.FromString(file.read())
    described = {name: info.description for name, info in found.anomaly_info.items()}
    if found.HasField("dataset_anomaly_info"):
        described[""] = found.dataset_anomaly_info.description
    return described


def _sentence(found: list[Finding]) -> str:
    if len(found) == 1:
        return found[0].cause
    named = "".join(f"\n    {finding.cause}; {finding.remedy}" for finding in found[:_NAMED])
    more = f"\n    and {len(found) - _NAMED} more, see the report" if len(found) > _NAMED else ""
    return f"the data has {len(found)} findings:{named}{more}"
