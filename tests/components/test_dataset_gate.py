"""DatasetGate: what stops a run, and that clean data passes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components.artifacts import DatasetFindings, IngestReport
from components.dataset_gate import DatasetGate
from components.dataset_gate.executor import Executor
from modules.errors import DataError
from modules.image_files import read_image
from modules.settings import DataSettings

TRASHNET = Path(__file__).resolve().parents[3] / "shared" / "data" / "trashnet"
SPLITS = ("train", "eval", "test")
Row = tuple[str, str, str]
"""Label, source, digest of the pixels."""

CLEAN: dict[str, list[Row]] = {
    split: [(label, f"{label}/{split}{number}.jpg", f"{split}{label}{number}") for label in "ab" for number in (1, 2)]
    for split in SPLITS
}


def component(smallest: int = 3) -> DatasetGate:
    return DatasetGate(
        examples=types.Channel(type=standard_artifacts.Examples),
        anomalies=types.Channel(type=standard_artifacts.ExampleAnomalies),
        report=types.Channel(type=IngestReport),
        settings=DataSettings(path="x", min_examples_per_class=smallest),
    )


@dataclass
class Gate:
    """The inputs of one execution, in a folder of their own."""

    folder: Path

    def write(self, splits: dict[str, list[Row]]) -> None:
        counts = {}
        for split in SPLITS:
            rows = splits.get(split, [])
            labels = [label for label, _, _ in rows]
            counts[split] = {label: labels.count(label) for label in sorted(set(labels))}
            self.anomaly(split)
            path = self.folder / "examples" / f"Split-{split}" / "data-00000-of-00001.gz"
            path.parent.mkdir(parents=True)
            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for label, source, digest in rows:
                    example = tf.train.Example()
                    for name, value in (("label", label), ("source", source), ("image_id", digest)):
                        example.features.feature[name].bytes_list.value.append(value.encode())
                    writer.write(example.SerializeToString())
        (self.folder / "report").mkdir()
        (self.folder / "report" / "ingest.json").write_text(json.dumps({"splits": counts}))

    def anomaly(self, split: str, **features: str) -> None:
        """What ExampleValidator writes: an empty message where there is nothing."""
        found = anomalies_pb2.Anomalies()
        for feature, description in features.items():
            if feature == "dataset":
                found.dataset_anomaly_info.description = description
            else:
                found.anomaly_info[feature].description = description
        path = self.folder / "anomalies" / f"Split-{split}" / "SchemaDiff.pb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found.SerializeToString())

    def execute(self, smallest: int = 3) -> None:
        """Runs the executor as TFX would."""
        artifacts = {
            "examples": standard_artifacts.Examples(),
            "anomalies": standard_artifacts.ExampleAnomalies(),
            "report": IngestReport(),
            "findings": DatasetFindings(),
        }
        for name, artifact in artifacts.items():
            artifact.uri = str(self.folder / name)
        (self.folder / "findings").mkdir()
        inputs = {name: [artifact] for name, artifact in artifacts.items() if name != "findings"}
        context = base_beam_executor.BaseBeamExecutor.Context(
            beam_pipeline_args=["--runner=FnApiRunner"], tmp_dir=str(self.folder / "tmp"), unique_id="1"
        )
        properties = dict(component(smallest).exec_properties)
        Executor(context).Do(inputs, {"findings": [artifacts["findings"]]}, properties)

    def refuse(self, smallest: int = 3) -> tuple[list[dict], DataError]:
        """The findings that are written, and the error that they end with."""
        with pytest.raises(DataError) as caught:
            self.execute(smallest)
        return self.written(), caught.value

    def written(self) -> list[dict]:
        """The findings in the output; there is nothing beside them."""
        [path] = (self.folder / "findings").iterdir()
        assert path.name == "findings.json"
        return json.loads(path.read_text())["findings"]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_its_properties_are_the_bound_and_the_digest_of_its_code():
    properties = component(7).exec_properties
    assert properties["min_examples_per_class"] == 7 and len(properties["code_digest"]) == 64
    assert set(properties) == {"min_examples_per_class", "code_digest"}
    assert component().outputs["findings"].type is DatasetFindings


def test_clean_data_passes_with_an_empty_list(gate):
    # A copy under the same label in the same split is harmless.
    gate.write({**CLEAN, "train": [*CLEAN["train"], ("a", "a/copy.jpg", "traina1")]})
    gate.execute(smallest=6)
    assert gate.written() == []


def test_everything_that_is_wrong_is_written_and_named_at_once(gate):
    gate.write(
        {
            **CLEAN,
            "train": [*CLEAN["train"], ("b", "b/twin of a.jpg", "traina1"), ("c", "c/1.jpg", "only one")],
            "test": [*CLEAN["test"], ("a", "a/seen.jpg", "evala2")],
        }
    )
    gate.anomaly("eval", width="Out-of-range values", dataset="Too few examples")
    findings, error = gate.refuse(smallest=2)
    assert sorted(finding["name"] for finding in findings) == [
        "anomaly",
        "anomaly",
        "leakage",
        "small_class",
        "two_labels",
    ]
    by_name = {finding["name"]: finding for finding in findings}
    assert by_name["two_labels"]["files"] == ["a/train1.jpg", "b/twin of a.jpg"]
    assert by_name["leakage"]["files"] == ["a/eval2.jpg", "a/seen.jpg"]
    assert by_name["small_class"]["cause"].startswith("the class c has 1 usable images")
    message = str(error)
    assert message.startswith("the data has 5 findings:\n")
    for finding in findings:
        assert f"{finding['cause']}; {finding['remedy']}" in message
    assert "width in the split eval: Out-of-range values" in message
    assert "the examples in the split eval: Too few examples" in message


def test_one_finding_is_its_own_message(gate):
    gate.write(CLEAN)
    gate.anomaly("test", label="Unexpected value")
    [finding], error = gate.refuse()
    assert (error.cause, error.remedy) == (finding["cause"], finding["remedy"])
    assert error.cause == "label in the split test: Unexpected value"


def test_of_many_findings_ten_are_named(gate):
    gate.write({**CLEAN, "train": [*CLEAN["train"], *((f"c{n:02}", f"c{n}/1.jpg", f"c{n}") for n in range(13))]})
    findings, error = gate.refuse(smallest=2)
    assert len(findings) == 13
    assert "the class c09 " in error.cause and "the class c10 " not in error.cause
    assert error.cause.endswith("and 3 more, see the report")


def test_a_split_that_was_not_validated_does_not_pass(gate):
    gate.write(CLEAN)
    (gate.folder / "anomalies" / "Split-test" / "SchemaDiff.pb").unlink()
    with pytest.raises(DataError, match="Split-test/SchemaDiff.pb is missing: a split was not validated"):
        gate.execute()


def test_trashnets_image_under_two_labels_is_found_with_both_files(gate):
    if not TRASHNET.is_dir():
        pytest.skip("the shared folder trashnet is not beside this repository")
    rows = [
        (path.parent.name, f"{path.parent.name}/{path.name}", read_image(path.read_bytes(), 10**6).digest)
        for label in ("glass", "plastic")
        for path in sorted((TRASHNET / label).iterdir())
    ]
    assert len(rows) == 160
    gate.write({"train": rows})
    [finding], error = gate.refuse()
    assert finding["name"] == "two_labels"
    assert [Path(file).parent.name for file in finding["files"]] == ["glass", "plastic"]
    assert all((TRASHNET / file).is_file() and file in error.cause for file in finding["files"])
