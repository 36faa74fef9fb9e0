"""DatasetGate: findings that stop a run, and clean data that pass."""

from __future__ import annotations

import base64
import getpass
import io
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from PIL import Image, ImageFilter
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.types import standard_artifacts

from edgetune.components.common.artifacts import DatasetFindings, IngestReport
from edgetune.components.dataset_gate import DatasetGate
from edgetune.components.dataset_gate.executor import Executor
from edgetune.components.image_example_gen import raw_example
from edgetune.modules.core.errors import DataError
from edgetune.modules.data.findings import FindingsError
from edgetune.modules.images.reader import read_image
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import DataSettings
from tests.helpers import beam_context, photographs, recorded_shards
from tests.tiny import model

SPLITS = ("train", "eval", "test")
Row = tuple[str, str, str] | tuple[str, str, str, str] | tuple[str, str, str, str, int]
"""Label, source and pixel digest; optionally the group (default: the digest) and shorter side in pixels (64)."""

CLEAN: dict[str, list[Row]] = {
    split: [(label, f"{label}/{split}{number}.jpg", f"{split}{label}{number}") for label in "ab" for number in (1, 2)]
    for split in SPLITS
}


def component(smallest: int = 3, **changes: object) -> DatasetGate:
    return DatasetGate(
        examples=types.Channel(type=standard_artifacts.Examples),
        anomalies=types.Channel(type=standard_artifacts.ExampleAnomalies),
        report=types.Channel(type=IngestReport),
        statistics=types.Channel(type=standard_artifacts.ExampleStatistics),
        settings=DataSettings(path="x", **{"min_examples_per_class": smallest, **changes}),
        image_size=8,
    )


FACTS = {"contrast": 50.0, "sharpness": 0.4, "brightest": 0.9, "darkest": 0.1, "grey_below": 0.0}
"""Of a picture without a finding."""


@dataclass
class Gate:
    """Inputs of one execution, in its own folder."""

    folder: Path
    bases: dict[str, str] = field(default_factory=dict)
    """Folder of the data of statistics, by input."""

    def write(self, splits: dict[str, list[Row]]) -> None:
        counts = {}
        for split in SPLITS:
            rows = splits.get(split, [])
            labels = [label for label, *_ in rows]
            counts[split] = {label: labels.count(label) for label in sorted(set(labels))}
            self.anomaly(split)
            path = self.folder / "examples" / f"Split-{split}" / "data-00000-of-00001.gz"
            path.parent.mkdir(parents=True)
            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for label, source, digest, *rest in rows:
                    group, side = (*rest, *(digest, 64)[len(rest) :])
                    example = tf.train.Example()
                    texts = {"label": label, "source": source, "image_id": digest, "split_group": group, "image": "x"}
                    texts["duplicate_group"] = digest if group.startswith("patient") else group
                    for name, value in texts.items():
                        example.features.feature[name].bytes_list.value.append(value.encode())
                    for name, pixels in (("width", side + side // 2), ("height", side)):
                        example.features.feature[name].int64_list.value.append(pixels)
                    for name, fact in FACTS.items():
                        example.features.feature[name].float_list.value.append(fact)
                    writer.write(example.SerializeToString())
        (self.folder / "report").mkdir()
        (self.folder / "report" / "ingest.json").write_text(json.dumps({"splits": counts}))

    def anomaly(self, split: str, **features: str) -> None:
        """Write anomalies as ExampleValidator does: an empty message if there are none."""
        found = anomalies_pb2.Anomalies()
        for feature, description in features.items():
            if feature == "dataset":
                found.dataset_anomaly_info.description = description
            else:
                found.anomaly_info[feature].description = description
        path = self.folder / "anomalies" / f"Split-{split}" / "SchemaDiff.pb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found.SerializeToString())

    def statistics(self, key: str, labels: list[str], red: list[float]) -> None:
        """Write statistics of a train split as StatisticsGen does."""
        frame = pd.DataFrame({"label": labels, "red": red})
        path = self.folder / key / "Split-train" / "FeatureStats.pb"
        path.parent.mkdir(parents=True)
        path.write_bytes(tfdv.generate_statistics_from_dataframe(frame).SerializeToString())

    def execute(self, smallest: int = 3, **changes: object) -> DatasetFindings:
        """Run the executor as TFX does."""
        artifacts = {
            "examples": standard_artifacts.Examples(),
            "anomalies": standard_artifacts.ExampleAnomalies(),
            "report": IngestReport(),
            "findings": DatasetFindings(),
            "statistics": standard_artifacts.ExampleStatistics(),
        }
        if (self.folder / "baseline_statistics").exists():
            artifacts["baseline_statistics"] = standard_artifacts.ExampleStatistics()
        for name, artifact in artifacts.items():
            artifact.uri = str(self.folder / name)
            if base := self.bases.get(name):
                artifact.set_string_custom_property("data_base", base)
        recorded_shards.stamp(artifacts["examples"])
        (self.folder / "findings").mkdir()
        inputs = {name: [artifact] for name, artifact in artifacts.items() if name != "findings"}
        properties = dict(component(smallest, **changes).exec_properties)
        Executor(beam_context.context(self.folder)).Do(inputs, {"findings": [artifacts["findings"]]}, properties)
        return artifacts["findings"]

    def refuse(self, smallest: int = 3, **changes: object) -> tuple[list[dict], FindingsError]:
        """Run the executor, and return the written findings and the error."""
        with pytest.raises(FindingsError) as caught:
            self.execute(smallest, **changes)
        return self.written(), caught.value

    def written(self) -> list[dict]:
        """Return the findings in the output, which must hold no other file."""
        [path] = (self.folder / "findings").iterdir()
        assert path.name == "findings.json"
        return json.loads(path.read_text())["findings"]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_the_properties_are_the_bounds_and_the_digest_of_the_code():
    properties = component(7, min_side=9, allow=["small_class", "drift"]).exec_properties
    assert properties["min_examples_per_class"] == 7 and len(properties["code_digest"]) == 64
    assert (properties["min_side"], properties["allow"]) == (9, '["drift", "small_class"]')
    assert component().outputs["findings"].type is DatasetFindings


def test_the_user_is_a_property_only_if_something_is_allowed():
    assert component().exec_properties["allowed_by"] == ""
    assert component(allow=["drift"]).exec_properties["allowed_by"] == getpass.getuser()


def test_clean_data_passes_with_an_empty_list(gate):
    # A copy with the same label in the same split is harmless.
    gate.write({**CLEAN, "train": [*CLEAN["train"], ("a", "a/copy.jpg", "traina1")]})
    gate.execute(smallest=6)
    assert gate.written() == []


def test_all_findings_are_written_and_named_in_one_error(gate):
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
    assert by_name["small_class"]["cause"].startswith("the class c has 1 usable image,")
    assert by_name["small_class"]["cause"].endswith(", such as c/1.jpg")
    assert by_name["small_class"]["files"] == ["c/1.jpg"]
    message = str(error)
    assert message.startswith("the data has 5 findings:\n")
    for finding in findings:
        assert f"{finding['cause']}; {finding['remedy']}" in message
    assert "width in the split eval: Out-of-range values" in message
    assert "the examples in the split eval: Too few examples" in message


def test_the_message_of_a_single_finding_is_the_finding(gate):
    gate.write(CLEAN)
    gate.anomaly("test", label="Unexpected value")
    [finding], error = gate.refuse()
    assert error.cause == finding["cause"]
    assert error.remedy == f"{finding['remedy']}; or tolerate it with --allow anomaly:label"
    assert error.cause == "label in the split test: Unexpected value"


def test_at_most_ten_findings_are_named(gate):
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


def test_an_image_under_two_labels_is_found_with_both_files(gate, tmp_path):
    base = tmp_path / "photographs"
    for first, label in ((0, "glass"), (20, "plastic")):
        (base / label).mkdir(parents=True)
        for number in range(first, first + 20):
            (base / label / f"{number}.jpg").write_bytes(photographs.encoded(photographs.scene(number, 96, 72)))
    shutil.copy(base / "plastic" / "25.jpg", base / "glass" / "25 too.jpg")
    assert_one_image_has_two_labels(gate, base, 41)


@pytest.mark.large
def test_trashnets_image_under_two_labels_is_found_with_both_files(gate):
    assert_one_image_has_two_labels(gate, photographs.real_data("trashnet"), 160)


def assert_one_image_has_two_labels(gate: Gate, base: Path, number: int) -> None:
    rows = [
        (path.parent.name, f"{path.parent.name}/{path.name}", read_image(path.read_bytes(), Reading(10**6)).digest)
        for label in ("glass", "plastic")
        for path in sorted((base / label).iterdir())
    ]
    assert len(rows) == number
    gate.write({"train": rows})
    [finding], error = gate.refuse()
    assert finding["name"] == "two_labels"
    assert [Path(file).parent.name for file in finding["files"]] == ["glass", "plastic"]
    assert all((base / file).is_file() and file in error.cause for file in finding["files"])


def test_near_duplicates_in_a_group_count_as_one_image(gate):
    gate.write(
        {
            **CLEAN,
            "train": [*CLEAN["train"], ("a", "a/far.jpg", "1", "group"), ("b", "b/far.jpg", "2", "group")],
            "test": [*CLEAN["test"], ("b", "b/other split.jpg", "3", "group")],
        }
    )
    findings, _ = gate.refuse()
    assert [finding["name"] for finding in findings] == ["leakage", "two_labels"]
    assert all(finding["cause"].startswith("nearly the same image ") for finding in findings)
    # A file of every label and every split is named.
    assert all(sorted(finding["files"]) == ["a/far.jpg", "b/far.jpg", "b/other split.jpg"] for finding in findings)


def test_copies_are_findings_only_if_the_setting_says_so(gate):
    gate.write({**CLEAN, "train": [*CLEAN["train"], ("a", "a/copy.jpg", "traina1")]})
    [finding], _ = gate.refuse(on_duplicates="fail")
    assert finding["name"] == "duplicates" and finding["files"] == ["a/copy.jpg", "a/train1.jpg"]


def test_imbalance_and_small_images_are_findings(gate):
    more = [("a", f"a/more{n}.jpg", f"more{n}") for n in range(6)]
    gate.write({**CLEAN, "train": [*CLEAN["train"], *more, ("b", "b/tiny.jpg", "tiny", "tiny", 7)]})
    findings, _ = gate.refuse(max_imbalance=1.7, min_side=8)
    assert [(finding["name"], finding["subject"], finding["files"]) for finding in findings] == [
        (
            "imbalance",
            "b",
            ["b/eval1.jpg", "b/eval2.jpg", "b/test1.jpg", "b/test2.jpg", "b/tiny.jpg", "b/train1.jpg", "b/train2.jpg"],
        ),
        ("small_images", "", ["b/tiny.jpg"]),
    ]
    assert "the class a has 12 images and b has 7: a ratio of 1.7" in findings[0]["cause"]
    assert findings[0]["cause"].endswith(", such as b/eval1.jpg, b/eval2.jpg, b/test1.jpg")


def test_values_equal_to_the_bounds_pass(gate):
    more = [("a", f"a/more{n}.jpg", f"more{n}") for n in range(6)]
    gate.write({**CLEAN, "train": [*CLEAN["train"], *more, ("b", "b/tiny.jpg", "tiny", "tiny", 7)]})
    gate.execute(max_imbalance=12 / 7, min_side=7)
    assert gate.written() == []


def test_drift_is_measured_against_the_data_of_the_last_blessed_model(gate):
    gate.write(CLEAN)
    gate.statistics("statistics", ["a"] * 80 + ["b"] * 20, [200.0 + n % 9 for n in range(100)])
    gate.execute()  # there is no baseline
    shutil.rmtree(gate.folder / "findings")
    gate.statistics("baseline_statistics", ["a", "b"] * 50, [20.0 + n % 9 for n in range(100)])
    findings, _ = gate.refuse(max_label_drift=0.29)
    assert [(finding["name"], finding["subject"]) for finding in findings] == [("drift", "label"), ("drift", "red")]
    assert "L-infinity distance 0.300, more than data.max_label_drift 0.29" in findings[0]["cause"]
    assert "Jensen-Shannon divergence 1.000, more than data.max_image_drift 0.3" in findings[1]["cause"]
    shutil.rmtree(gate.folder / "findings")
    findings, _ = gate.refuse(max_label_drift=0.31)
    assert [finding["subject"] for finding in findings] == ["red"]


def test_drift_from_the_data_of_another_folder_is_one_finding_about_both_folders(gate):
    gate.write(CLEAN)
    gate.statistics("statistics", ["a", "b"] * 50, [200.0 + n % 9 for n in range(100)])
    gate.statistics("baseline_statistics", ["a", "a"] * 50, [20.0 + n % 9 for n in range(100)])
    gate.bases |= {"statistics": "/b/photos", "baseline_statistics": "/a/photos"}
    [finding], error = gate.refuse()
    assert (finding["name"], finding["subject"]) == ("drift", "source")
    assert "data in /a/photos, and these are in /b/photos: they differ in label, red" in error.cause


def test_groups_of_near_duplicates_in_one_split_are_noted_and_pass(gate):
    gate.write({**CLEAN, "train": [*CLEAN["train"], ("a", "a/x.jpg", "x", "g"), ("a", "a/y.jpg", "y", "g")]})
    assert gate.execute().get_int_custom_property("findings") == 0
    [note] = json.loads((gate.folder / "findings" / "findings.json").read_text())["notes"]
    assert note["cause"].startswith("2 of ") and "in 1 group" in note["cause"]
    assert [(picture["file"], picture["group"]) for picture in note["pictures"]] == [("a/x.jpg", 1), ("a/y.jpg", 1)]


def test_a_lost_baseline_is_a_finding_that_says_how_to_continue_without_it(gate):
    gate.write(CLEAN)
    gate.statistics("statistics", ["a", "b"] * 50, [20.0 + n % 9 for n in range(100)])
    gate.statistics("baseline_statistics", ["a", "b"] * 50, [20.0 + n % 9 for n in range(100)])
    lost = gate.folder / "baseline_statistics" / "Split-train" / "FeatureStats.pb"
    for damage in (lambda: lost.write_bytes(b"\xff" * 100), lost.unlink):
        damage()
        findings, error = gate.refuse()
        assert [(finding["name"], finding["subject"]) for finding in findings] == [("drift", "statistics")]
        assert f"{gate.folder}/baseline_statistics, cannot be read: " in error.cause
        assert error.remedy == "restore that folder from a copy; or tolerate it with --allow drift:statistics"
        shutil.rmtree(gate.folder / "findings")
    gate.execute(allow=["drift:statistics"])


def test_an_allowed_finding_passes_and_the_artifact_records_the_user(gate):
    gate.write({**CLEAN, "train": [*CLEAN["train"], ("b", "b/twin.jpg", "traina1"), ("c", "c/1.jpg", "only one")]})
    artifact = gate.execute(allow=["two_labels:b/twin.jpg", "small_class:c"])
    assert [(finding["name"], finding["allowed"]) for finding in gate.written()] == [
        ("small_class", True),
        ("two_labels", True),
    ]
    assert artifact.get_int_custom_property("findings") == 2
    assert artifact.get_string_custom_property("allowed_by") == getpass.getuser()
    assert json.loads(artifact.get_string_custom_property("allowed")) == ["small_class:c", "two_labels:b/twin.jpg"]


def test_a_finding_allowed_for_another_file_does_not_pass(gate):
    gate.write({**CLEAN, "train": [*CLEAN["train"], ("b", "b/twin.jpg", "traina1"), ("c", "c/1.jpg", "only one")]})
    findings, error = gate.refuse(allow=["two_labels:b/other.jpg", "small_class"])
    assert [(finding["name"], finding["allowed"]) for finding in findings] == [
        ("small_class", True),
        ("two_labels", False),
    ]
    assert [finding.name for finding in error.found] == ["two_labels"]
    allowed = "--allow small_class --allow two_labels:b/other.jpg"  # what `--allow` would otherwise replace
    assert f"or tolerate it with {allowed} --allow two_labels:a/train1.jpg" in error.remedy


def test_pictures_that_show_little_are_found_with_thumbnails_and_stop_nothing(gate):
    scene = np.asarray(photographs.scene(1, 96, 72))
    cut = scene.copy()
    cut[50:] = 128
    drawn = {
        "a/blank.png": np.full((72, 96, 3), 90, np.uint8),
        "a/dark.png": scene // 4,
        "a/bright.png": np.pad(np.zeros((8, 20, 3), np.uint8), ((32, 32), (38, 38), (0, 0)), constant_values=255),
        "a/blurred.png": np.asarray(Image.fromarray(scene).filter(ImageFilter.GaussianBlur(9))),
        "b/cut.png": cut,
        "b/long.png": np.ascontiguousarray(np.concatenate([scene[:20]] * 3, axis=1)),
        "b/tiny.png": np.ascontiguousarray(scene[30:33, 30:33]),
        "b/good.png": scene,
    }
    gate.write(CLEAN)
    records = []
    for source, pixels in drawn.items():
        made = raw_example.from_image(model.png(pixels), source[0], source, Reading()).value
        example = tf.train.Example.FromString(made.example)
        for name in ("split_group", "duplicate_group"):
            example.features.feature[name].bytes_list.value.append(made.image_id.encode())
        records.append(example.SerializeToString())
    path = gate.folder / "examples" / "Split-train" / "data-00000-of-00001.gz"
    rows = [record.numpy() for record in tf.data.TFRecordDataset(str(path), "GZIP")]
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in rows + records:
            writer.write(record)
    artifact = gate.execute(min_side=2)
    found = {finding["name"]: finding for finding in gate.written()}
    named = {kind: finding["files"] for kind, finding in found.items()}
    assert named == {
        "blank": ["a/blank.png"],
        "dark": ["a/dark.png"],
        "bright": ["a/bright.png"],
        "blurred": ["a/blurred.png"],
        "cut_off": ["b/cut.png"],
        "distorted": ["b/long.png"],
        "enlarged": ["b/tiny.png"],
    }
    assert all(finding["informs"] for finding in found.values()) and artifact.get_int_custom_property("findings") == 7
    [picture] = found["cut_off"]["pictures"]
    assert (picture["given"], picture["score"]) == ("b", pytest.approx(50 / 72, abs=0.02))
    thumbnail = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["jpeg"]))), int)
    assert np.abs(thumbnail - cut).mean() < 8  # as large as the image
    assert found["blank"]["cause"] == "1 picture of 12 is of one colour"  # of the number in ingest.json


def test_a_named_group_may_have_several_classes_but_not_several_splits(gate):
    rows = {split: [*CLEAN[split]] for split in SPLITS}
    rows["train"] += [("a", "a/p1.jpg", "p1", "patient"), ("b", "b/p2.jpg", "p2", "patient")]
    rows["test"] += [("a", "a/p3.jpg", "p3", "patient 2"), ("b", "b/p4.jpg", "p4", "patient 2")]
    rows["eval"] += [("a", "a/p5.jpg", "p5", "patient 2")]
    gate.write(rows)
    found, error = gate.refuse(group="(p)")
    assert [(finding["name"], finding["files"]) for finding in found] == [
        ("leakage", ["a/p5.jpg", "a/p3.jpg", "b/p4.jpg"])
    ]
    assert "one group of data.group is in the splits eval and test" in str(error)
