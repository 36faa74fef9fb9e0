"""Reports of runs that ended well, badly or early: contents, form, and no markup from the data."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgetune.modules.contracts.example_features import SPLITS
from edgetune.modules.data.findings import Finding, Picture, UnusableFiles
from edgetune.modules.evaluation.confidence import SAVED_MODEL, Confidence
from edgetune.modules.evaluation.gates import FILE, Gate, as_json, file_of
from edgetune.modules.evaluation.intervals import wilson
from edgetune.modules.litert.interpreter import Latency
from edgetune.modules.release.release import Places
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.metadata.outcome import Outcome, read_outcome
from edgetune.pipeline.report import report, summary, write_report
from edgetune.pipeline.report.originals import Originals, Thumbnail, encoded
from tests.helpers.recorded_run import Made, Recorder
from tests.helpers.releases import write_release

VOID = {"meta", "br", "hr", "img", "input", "link"}
HOSTILE = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "</style></svg><img src=x onerror=alert(1)>",
    "--><!--",
    "$\\frac{1}{$ {{ 7 * 7 }} #010101",
    "größe 猫 🐈 \u202eesrever",
    "x" * 200,
]
LABELS = ["ash", "beech", "cedar"]
COUNTS = [[40, 0, 0], [1, 38, 1], [4, 0, 36]]


class Page(HTMLParser):
    """Text of a page, its tags with their attributes, and errors in its nesting."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.rows: list[list[str]] = []
        self.sections: list[str] = []
        self.section = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        self.unbalanced += self.open
        self.rows = [[" ".join(cell.split()) for cell in row] for row in self.rows]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = str(self.tags[-1][1].get("id"))
        if tag == "tr":
            self.rows.append([])
            self.sections.append(self.section)
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, name: str, section: str = "") -> list[str]:
        """Return the other cells of the first row, of a section or of all, whose first cell begins with a name."""
        rows = (row for row, where in zip(self.rows, self.sections, strict=True) if section in ("", where))
        return next(row[1:] for row in rows if row and row[0].startswith(name))


def model_gates(accuracy: float, images: int) -> list[Gate]:
    """Return the gates of a model whose accuracy is judged by 0.9."""
    low, high = wilson(round(accuracy * images), images) or (0.0, 1.0)
    given = {"measured": accuracy, "low": low, "high": high, "images": images}
    what, lost = "evaluation.min_accuracy", "accuracy lost against the last blessed model"
    return [
        Gate(what, "SavedModel", "accuracy", needed=0.9, passed=accuracy >= 0.9, **given, remedy="train <longer>"),
        Gate(
            "evaluation.max_regression", "SavedModel", lost, needed=0.0, passed=None, at_most=True, reason="the <first>"
        ),
    ]  # fmt: skip


def record_evaluation(folder: Path, labels: Sequence[str], counts: Any) -> Made:
    """Write what the Evaluator writes: metrics overall and by class, the confusion matrix, and the gates."""
    import tensorflow as tf
    from tensorflow_model_analysis.proto import metrics_for_slice_pb2 as pb

    folder.mkdir(parents=True)
    matrix = np.asarray(counts)
    (folder / "eval_config.json").write_text("{}")
    total = int(matrix.sum())
    (folder / FILE).write_text(file_of(model_gates(float(np.trace(matrix) / total), total)))

    def add(record: Any, accuracy: float, examples: float) -> None:
        values = {"sparse_categorical_accuracy": accuracy, "example_count": examples}
        for name, value in {**values, "sparse_categorical_crossentropy": 0.25}.items():
            item = record.metric_keys_and_values.add()
            item.key.name, item.value.double_value.value = name, value

    overall = pb.MetricsForSlice()
    add(overall, np.trace(matrix) / matrix.sum(), matrix.sum())
    records = [overall]
    for name, row, right in zip(labels, matrix, np.diag(matrix), strict=True):
        if row.sum():
            records.append(pb.MetricsForSlice())
            records[-1].slice_key.single_slice_keys.add(column="label", bytes_value=name.encode())
            add(records[-1], right / row.sum(), row.sum())
    plots = pb.PlotsForSlice()
    item = plots.plot_keys_and_values.add()
    entries = item.value.multi_class_confusion_matrix_at_thresholds.matrices.add(threshold=0.0).entries
    for row, column in np.argwhere(matrix):
        entries.add(
            actual_class_id=int(row), predicted_class_id=int(column), num_weighted_examples=float(matrix[row, column])
        )
    for name, content in {"metrics": records, "plots": [plots]}.items():
        with tf.io.TFRecordWriter(str(folder / f"{name}.tfrecord")) as writer:
            for record in content:
                writer.write(record.SerializeToString())
    return ("ModelEvaluation", str(folder), {})


def record_statistics(folder: Path) -> Made:
    """Write what StatisticsGen writes for three splits, one of which has no image."""
    from tensorflow_metadata.proto.v0 import statistics_pb2 as pb

    for split, images in (("train", 100), ("eval", 10), ("test", 0)):
        counted = pb.DatasetFeatureStatisticsList()
        features = counted.datasets.add().features
        for name, mean in (("label", 0.0), ("width", 12345.0), ("red", 127.5)):
            feature = features.add()
            feature.path.step.append(name)
            numbers = feature.num_stats
            numbers.common_stats.num_non_missing = images
            numbers.mean, numbers.std_dev, numbers.min, numbers.median, numbers.max = mean, 2.5, 1.0, mean, 2 * mean
            for kind in (pb.Histogram.QUANTILES, pb.Histogram.STANDARD):
                histogram = numbers.histograms.add(type=kind)
                histogram.buckets.add(low_value=1.0, high_value=mean, sample_count=images * 0.75)
                histogram.buckets.add(low_value=mean, high_value=2 * mean, sample_count=images * 0.25)
        path = folder / f"Split-{split}" / "FeatureStats.pb"
        path.parent.mkdir(parents=True)
        path.write_bytes(counted.SerializeToString())
    return ("ExampleStatistics", str(folder), {})


def record_files(folder: Path, kind: str, **files: Any) -> Made:
    """Write an artifact of JSON files, or of text files for strings. `__` in a name stands for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return (kind, str(folder), {})


def variant(accuracy: float | None, size: int, reasons: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "accuracy": accuracy,
        "agreement": 0.9917,
        "bytes": size,
        "latency": asdict(Latency(p50_ms=3.21, p95_ms=4.4, runs=200, threads=1, cpu="Some CPU <2 GHz>")),
        "blessed": not reasons,
        "reasons": list(reasons),
        "gates": as_json([AGREEMENT]),
    }


SERVED = Gate(
    "infra.originals", "SavedModel", "problems when it is served", needed=0, passed=True, measured=0, images=32,
    whole=True, at_most=True, reason="30 of 32 original files asked (2 changed since)",
)  # fmt: skip
AGREEMENT = Gate(
    "edge.min_agreement", "int8", "agreement", needed=0.97, passed=True, measured=0.9917, low=0.9543, high=0.9985,
    images=120, reason="in <small> print",
)  # fmt: skip
VARIANTS = {"int8": variant(0.95, 612_344), "float32": variant(0.95, 2_341_000)}


def phase(name: str, epochs: int) -> dict[str, Any]:
    """Return a phase as the trainer writes it."""
    steps = [
        {
            "loss": 1.5 * 0.75**n + 0.1,
            "accuracy": 1 - 0.5 * 0.75**n,
            "val_loss": 1.6 * 0.8**n + 0.15,
            "val_accuracy": 0.96 - 0.5 * 0.75**n,
            "learning_rate": 1e-3 if n < 6 else 5e-4,
        }
        for n in range(epochs)
    ]
    from edgetune.modules.training.phase import Phase

    return Phase(name, tuple(steps), best_epoch=2, seconds=21.4, trainable_parameters=361_606).as_json()


TRANSFER = [
    {"name": "from_scratch", "test_accuracy": 0.6117, "seconds": 130.0, "epochs": 20},
    {"name": "fixed_features", "test_accuracy": 0.9, "seconds": 21.0, "epochs": 10},
    {"name": "fine_tuned", "test_accuracy": 0.95, "seconds": 64.0, "epochs": 18},
]


def record_probabilities(labels: Sequence[str], counts: Any) -> Confidence:
    """Measure a confusion matrix as the answers on eval and test, all with a probability of 0.8, 0.64 before."""
    confidence = Confidence(len(labels), precision=0.93, temperature=0.5)
    for truth, best in np.argwhere(counts):
        number = counts[truth][best]
        row = np.full(len(labels), 0.2 / (len(labels) - 1))
        row[best] = 0.8
        confidence.add_eval(np.full(number, truth), np.tile(row, (number, 1)))
        confidence.add_test(SAVED_MODEL, np.full(number, truth), np.tile(row, (number, 1)))
    confidence.add_unknown(SAVED_MODEL, np.eye(len(labels)))
    confidence.unusable = 2
    return confidence


def record_run(
    folder: Path,
    labels: Sequence[str] = LABELS,
    counts: Any = COUNTS,
    variants: dict[str, Any] = VARIANTS,
    transfer: list[dict[str, Any]] | None = TRANSFER,
    findings: Sequence[dict[str, Any]] = (),
) -> Outcome:
    """Record a run of all components; it is blessed and pushed if all `variants` are blessed."""
    blessed = all(v["blessed"] for v in variants.values())
    split = {"train": {n: 80 + 9 * i for i, n in enumerate(labels)}, "eval": dict.fromkeys(labels, 10)}
    split["test"] = {name: int(row.sum()) for name, row in zip(labels, np.asarray(counts), strict=True)}
    accepted = sum(sum(counts.values()) for counts in split.values())
    ingest = {"files": accepted + 60, "accepted": accepted, "rejected": 60, "splits": split}
    reject = "path,reason\n" + "".join(f"{labels[0][:5]}/<b>{n}.jpg,not an image\n" for n in range(60)).replace('"', "")
    history = {
        "phases": [phase("head", 10), phase("fine_tune", 8)],
        "exported": "fine_tune",
        "why": "fine-tuning lowered the loss on eval from 0.3104 to 0.2236",
        "device": {"device": "GPU 0 (Tesla T4)", "why": "the first of 2", "warning": "slow so"},
        "calibration": {
            "temperature": 0.5,
            "note": "it is the best <i>one</i>",
            "images": 30,
            "before": {"cross_entropy": 0.5, "ece": 0.25},
            "after": {"cross_entropy": 0.25, "ece": 0.125},
        },
    }
    runs = {"transfer__json": transfer} if transfer is not None else {}
    metrics = {
        "saved_model": {"accuracy": 0.95},
        "test": {"images": 120, "sha256": "0" * 64},
        "runtime": "ai-edge-litert 2.3.0",
        "labels": list(labels),
        "calibration": record_probabilities(labels, counts).of_saved_model(),
        "variants": variants,
        "blessed": blessed,
        "reasons": [
            f"required edge variant {k}: {'; '.join(v['reasons'])}" for k, v in variants.items() if v["reasons"]
        ],
    }
    assets = folder / "model" / "Format-Serving" / "assets"
    record_files(assets, "", labels__txt="\n".join(labels) + "\n")

    recorder = Recorder(folder / "metadata.db", "trees")
    recorder.run("run-1")
    found = record_files(folder / "findings", "DatasetFindings", findings__json={"findings": list(findings)})
    report = record_files(folder / "ingest", "IngestReport", ingest__json=ingest, rejected__csv=reject)
    recorder.node("ImageExampleGen", outputs={"report": report})
    recorder.node("StatisticsGen", outputs={"statistics": record_statistics(folder / "statistics")})
    recorder.node("DatasetGate", outputs={"findings": found})
    model_run = record_files(folder / "model_run", "ModelRun", history__json=history, **runs)
    model: Made = ("Model", str(folder / "model"), {})
    recorder.node("TwoPhaseTrainer", outputs={"model": model, "model_run": model_run})
    evaluation = record_evaluation(folder / "evaluation", labels, counts)
    blessing = ("ModelBlessing", "blessing", {"blessed": 1})
    recorder.node("Evaluator", outputs={"evaluation": evaluation, "blessing": blessing})
    (folder / "infra").mkdir()
    (folder / "infra" / FILE).write_text(file_of([SERVED]))
    blessing = ("edgetune.InfraBlessing", str(folder / "infra"), {"blessed": 1})
    recorder.node("InfraValidator", outputs={"blessing": blessing})
    evaluation = record_files(folder / "edge_evaluation", "EdgeEvaluation", metrics__json=metrics)
    blessing = ("EdgeBlessing", "edge_blessing", {"blessed": int(blessed)})
    recorder.node("EdgeEvaluator", outputs={"evaluation": evaluation, "blessing": blessing})
    outputs = {}
    for key in ("pushed_model", "pushed_bundle"):
        outputs[key] = ("Pushed", "uri", {"pushed": int(blessed), "pushed_destination": f"/pushed/{key}/7"})
    recorder.node("ReleasePusher", outputs=outputs)
    return read_outcome(folder / "metadata.db", "trees")


def settings(**groups: Any) -> RunSettings:
    return RunSettings.model_validate({"name": "trees", "data": {"path": "/photos/trees"}, **groups})


def written(outcome: Outcome, folder: Path, error: str | None = None, **groups: Any) -> tuple[Page, dict[str, Any]]:
    """Write the report, check what holds for every report, and return the page and the numbers."""
    path = write_report(outcome, folder, settings=settings(**groups), log=Path("/logs/run-1.log"), error=error)
    assert path == folder / "index.html"
    assert sorted(p.name for p in folder.iterdir()) == ["index.html", "report.json"]
    source, page = path.read_text(encoding="utf-8"), Page(path)
    assert source.startswith("<!DOCTYPE html>")
    assert page.unbalanced == []
    assert [name for name, times in Counter(a["id"] for _, a in page.tags if "id" in a).items() if times > 1] == []
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    styles = "".join(" ".join(str(value) for value in attributes.values()) for _, attributes in page.tags)
    assert set(re.findall(r"url\(#(.*?)\)", styles)) <= ids
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "base")
        assert not [name for name in attributes if name.startswith("on")]
        if "src" in attributes:
            assert tag == "img" and attributes["src"].startswith("data:image/jpeg;base64,")
        assert str(attributes.get("href", "#")).startswith("#")
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("meta", policy) in [(t, a.get("content")) for t, a in page.tags]
    assert not re.search(r"https?://|@import|url\((?!#)", source)
    return page, json.loads((folder / "report.json").read_text())


@pytest.fixture
def plots() -> None:
    """Request the plots themselves."""


@pytest.fixture(autouse=True)
def _no_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw only in tests that request `plots`: it takes most of the time of a report."""
    if "plots" not in request.fixturenames:
        monkeypatch.setattr(report, "_plots", lambda collected: {})


def test_a_blessed_run(plots, tmp_path: Path) -> None:
    outcome = record_run(tmp_path)
    page, numbers = written(outcome, tmp_path / "reports" / "run-1")
    assert "Blessed and pushed" in page.text
    assert "/pushed/pushed_model/7" in page.text and "/pushed/pushed_bundle/7" in page.text
    # Wilson's formula gives 0.895 and 0.977 for 114 of 120.
    assert page.row("this run") == ["95.0%", "89.5% to 97.7%", "120", "0.2500"]
    assert [row for row in page.rows if row[0] == "SavedModel"] == [
        ["SavedModel", "accuracy evaluation.min_accuracy", "95 %", "89.5 % to 97.7 %", "90 %", "120", "passed",
         "Remedy: train <longer>"],
        ["SavedModel", "accuracy lost against the last blessed model evaluation.max_regression", "–", "–",
         "at most 0 %", "–", "not applied", "the <first>"],
        ["SavedModel", "problems when it is served infra.originals", "0", "–", "at most 0", "32", "passed",
         "30 of 32 original files asked (2 changed since)"],
    ]  # fmt: skip
    shown = ["agreement edge.min_agreement", "99.2 %", "95.4 % to 99.9 %", "97 %", "120", "passed", "in <small> print"]
    assert [row[1:] for row in page.rows if row[0] == "int8" and "edge.min_agreement" in row[1]] == 2 * [shown]
    names = [row[0].split(" ")[0] for row in page.rows]
    assert names.index("fixed") < names.index("fine-tuned") < names.index("from")
    assert page.row("from scratch") == ["61.2%", "", "2:10 min", "20"]
    assert page.row("int8", "edge") == ["blessed", "95.0%", "0.00", "99.2%", "612 kB", "3.21 ms", "4.40 ms"]
    variants = [row[0] for row, section in zip(page.rows, page.sections, strict=True) if section == "edge"]
    assert variants == ["variant", "float32", "int8"], "in the order of the configuration"
    assert "Some CPU <2 GHz>, 1 thread, 200 runs" in page.text
    # 36 of 40 cedars are called so, and 36 of the 37 images called so are cedars; F1 is 72 of 77.
    recall, precision, f1 = "90.0% 76.9% to 96.0%", "97.3% 86.2% to 99.5%", "93.5% 85.4% to 97.3%"
    assert page.row("cedar") == [recall, precision, f1, "40", "ash (4)"]
    assert ["cedar", "ash", "4 of 40"] in page.rows
    assert [row[0] for row in page.rows if row[0] in LABELS and len(row) == 6] == ["cedar", "beech", "ash"]
    assert next(row for row in page.rows if row[0] == "fine-tune")[1:] == [
        "8",
        "3",
        "67.9%",
        "361,606",
        "21.4 s",
        "exported",
    ]
    assert page.row("TwoPhaseTrainer")[0] == "complete" and str(tmp_path / "model") in page.row("TwoPhaseTrainer")[-1]
    for text in (
        "weights of fine-tune were exported: fine-tuning lowered the loss",
        "by ai-edge-litert 2.3.0 on 120",
        "/logs/run-1.log",
        "path: /photos/trees",
        "60 rejected",
        "the first 50 of",
    ):
        assert text in page.text
    assert page.text.count("not an image") == 50
    assert [tag for tag, _ in page.tags].count("svg") == 8

    assert numbers["verdict"]["blessed"] and numbers["log"] == "/logs/run-1.log"
    # What this recorded run lacks: answers and pictures.
    assert set(numbers["absent"]) == {"notable", "coverage", "samples", "comparison"}
    assert [(check["name"], check["passed"]) for check in numbers["checks"]] == [
        ("data.max_rejected", False), ("data.min_examples_per_class", True), ("data.allow", True),
    ]  # fmt: skip
    assert page.row("data", "gates")[:4] == [
        "files that cannot be used data.max_rejected",
        "12.6 %",
        "–",
        "at most 5 %",
    ]
    assert numbers["results"]["accuracy"] == pytest.approx(0.95)
    accuracy, _, served, *_ = numbers["gates"]
    assert (served["name"], served["passed"], served["reason"]) == (SERVED.name, True, SERVED.reason)
    assert SERVED.reason in page.text
    assert (accuracy["measured"], accuracy["needed"], accuracy["passed"]) == (pytest.approx(0.95), 0.9, True)
    assert numbers["confusion"]["counts"] == COUNTS and numbers["confusion"]["labels"] == LABELS
    assert numbers["configuration"] == settings().model_dump(mode="json")
    assert [row["name"] for row in numbers["transfer"]] == ["fixed_features", "fine_tuned", "from_scratch"]


def test_probabilities_and_thresholds_are_shown_as_measured(tmp_path: Path) -> None:
    page, numbers = written(record_run(tmp_path), tmp_path / "report")
    # Of 0.8, 0.1 and 0.1, undoing the temperature of 1/2 leaves sqrt(8) : 1 : 1. 114 of 120 answers are right.
    before = 8**0.5 / (8**0.5 + 2)
    found = numbers["calibration"]
    assert found["before"]["ece"] == pytest.approx(0.95 - before) and found["after"]["ece"] == pytest.approx(0.15)
    assert page.row("as trained")[:2] == ["1", "36.4%"] and page.row("exported")[:2] == ["0.5", "15.0%"]
    rows = {row[0]: row[1:] for row in page.rows if len(row) == 5}
    # 40 of the 45 answers "ash" are right, fewer than 93 %; all 38 and 36 of 37 of the others.
    assert rows["ash"] == ["not reached", "–", "–", "0% (0 of 45)"]
    assert rows["beech"] == ["0.800", "100%", "90.8% to 100%", "100% (38 of 38)"]
    assert rows["cedar"][:2] == ["0.800", "97.3%"]
    assert rows["all"] == ["", "98.7%", "92.8% to 99.8%", "62.5% (75 of 120)"]
    text = " ".join(page.text.split())
    assert "Thresholds for a precision of 93.0%" in text
    assert (
        "a temperature of 0.5, fitted on 30 eval images, on which the cross entropy went from 0.5000 to 0.2500" in text
    )
    assert "to 0.2500: it is the best <i>one</i>." in text
    assert "Of 3 images of none of the classes, 2 (66.7%, 95% interval 20.8% to 93.9%) reach the threshold" in text
    assert "2 more files could not be read" in text


def test_a_refused_run_has_the_reason_for_each_variant(tmp_path: Path) -> None:
    reasons = ["accuracy drop 0.0342 is above edge.max_accuracy_drop 0.01", "2 float ops are left"]
    finding = asdict(Finding("two_labels", "two <i>labels</i>", "choose one", ("a/1.jpg", "b/1.jpg")))
    variants = {"float32": VARIANTS["float32"], "int8": variant(0.9158, 600_000, reasons)}
    outcome = record_run(tmp_path, variants=variants, transfer=None, findings=[finding])
    page, numbers = written(outcome, tmp_path / "report")
    assert "Not blessed" in page.text and "Blessed and pushed" not in page.text and "/pushed/" not in page.text
    assert f"required edge variant int8: {'; '.join(reasons)}" in page.text
    assert page.row("int8", "edge")[:3] == ["refused", "91.6%", "3.42"] and f"int8: {reasons[1]}" in page.text
    assert "No baselines are configured: training.baselines is empty." in page.text
    assert "two <i>labels</i>" in page.text and "2 files" in page.text and "choose one" in page.text
    assert numbers["transfer"] is None and "training.baselines" in numbers["absent"]["transfer"]
    assert numbers["edge"]["variants"][1]["reasons"] == reasons
    wanted, _ = written(outcome, tmp_path / "wanted", training={"baselines": ["from_scratch"]})
    assert "TwoPhaseTrainer wrote no transfer.json." in wanted.text


def test_a_run_that_failed_at_its_first_node(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "metadata.db", "trees")
    recorder.run("run-1")
    recorder.node("ImageExampleGen", "FAILED")
    outcome = read_outcome(tmp_path / "metadata.db", "trees")
    page, numbers = written(outcome, tmp_path / "report", "ash/: no image in it\n  remedy: <fill> it")
    assert "Stopped at ImageExampleGen" in page.text and "ImageExampleGen failed" not in page.text
    assert "remedy: <fill> it" in page.text
    assert "Gates and pusher that did not run: Evaluator, InfraValidator, EdgeEvaluator, ReleasePusher." in page.text
    assert page.row("ImageExampleGen")[0] == "failed"
    assert numbers["absent"] == {
        "gates": "Evaluator did not run.",
        "results": "Evaluator did not run.",
        "transfer": "TwoPhaseTrainer did not run.",
        "edge": "EdgeEvaluator did not run.",
        "calibration": "EdgeEvaluator did not run.",
        "data": "ImageExampleGen did not succeed.",
        "findings": "DatasetGate did not run.",
        "statistics": "StatisticsGen did not run.",
        "training": "TwoPhaseTrainer did not run.",
        "classes": "Evaluator did not run.",
        "confusion": "Evaluator did not run.",
        "notable": "EdgeEvaluator did not run.",
        "coverage": "Evaluator did not run.",
        "samples": "ImageExampleGen did not succeed.",
        "comparison": "No earlier run of this pipeline with a report in this workdir was blessed and pushed.",
    }
    assert all(sentence in page.text for sentence in numbers["absent"].values())
    assert "For the cause, see the log: /logs/run-1.log" in written(outcome, tmp_path / "unexplained")[0].text
    assert summary(outcome, report=Path("/r/index.html")) == ["nothing was pushed", "report     /r/index.html"]


def test_a_cached_component_has_the_original_duration(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "metadata.db", "trees")
    recorder.run("run-1")
    recorder.node("Transform", outputs={"graph": ("TransformGraph", "/graph/1", {})})
    recorder.run("run-2")
    recorder.node("Transform", "CACHED")
    page, numbers = written(read_outcome(tmp_path / "metadata.db", "trees"), tmp_path / "report")
    assert page.row("Transform") == ["cached", "0.0 s", "0.0 s", "graph /graph/1"]
    assert numbers["components"][0]["artifacts"] == [{"key": "graph", "type": "TransformGraph", "uri": "/graph/1"}]


def test_sizes_and_colours_are_shown_for_each_split_that_has_images(tmp_path: Path) -> None:
    page, numbers = written(record_run(tmp_path), tmp_path / "report")
    assert page.row("width, pixels") == ["train", "12,345", "2.5", "1", "12,345", "24,690"]
    assert page.row("mean of red, 0 to 255") == ["train", "127.5", "2.5", "1", "127.5", "255"]
    assert {feature: set(splits) for feature, splits in numbers["statistics"].items()} == {
        "width": {"train", "eval"},
        "red": {"train", "eval"},
    }
    assert numbers["statistics"]["red"]["eval"]["histogram"] == [[1.0, 127.5, 7.5], [127.5, 255.0, 2.5]]


def test_findings_that_failed_the_gate_are_shown_although_its_artifact_is_gone(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "metadata.db", "trees")
    recorder.run("run-1")
    recorder.node("DatasetGate", state="FAILED")
    outcome = read_outcome(tmp_path / "metadata.db", "trees")
    found = [Finding("two_labels", "one image, two labels", "choose one", ("a/1.jpg", "b/<i>1</i>.jpg"))]
    path = write_report(outcome, tmp_path / "report", settings=settings(), log=None, error="e", findings=found)
    page = Page(path)
    assert "one image, two labels" in page.text and "b/<i>1</i>.jpg" in page.text and "choose one" in page.text
    assert json.loads((tmp_path / "report" / "report.json").read_text())["findings"][0]["name"] == "two_labels"


def test_rejected_files_that_stopped_a_run_are_shown(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "metadata.db", "trees")
    recorder.run("run-1")
    recorder.node("ImageExampleGen", state="FAILED")
    outcome = read_outcome(tmp_path / "metadata.db", "trees")
    splits = {"train": {"ash": 5}, "eval": {"ash": 1}, "test": {"ash": 1}}
    ingest = {"files": 107, "accepted": 7, "rejected": 100, "splits": splits}
    rows = [{"path": f"ash/<b>{number}</b>.jpg", "reason": "the file is empty"} for number in range(60)]
    stopped = UnusableFiles("too many", "repair them", ingest, rows)
    path = write_report(outcome, tmp_path / "report", settings=settings(), log=None, error="e", rejected=stopped)
    page = Page(path)
    assert "7 of 107 files accepted, 100 rejected." in page.text and "the first 50 of 100" in " ".join(
        page.text.split()
    )
    shown = [row for row in page.rows if row[-1:] == ["the file is empty"]]
    # 24 have pictures, or are said to have none.
    assert len(shown) == 50 and shown[-1] == ["", "ash/<b>49</b>.jpg", "the file is empty"]
    assert shown[0] == ["no picture: the folder of the data is gone", "ash/<b>0</b>.jpg", "the file is empty"]
    numbers = json.loads((tmp_path / "report" / "report.json").read_text())
    assert numbers["data"]["splits"] == splits and len(numbers["data"]["rejected_files"]) == 50


def test_the_user_who_allowed_a_finding_is_named(tmp_path: Path) -> None:
    finding = {**asdict(Finding("drift", "it drifted", "do not", subject="label")), "allowed": True}
    recorder = Recorder(tmp_path / "metadata.db", "trees")
    recorder.run("run-1")
    kind, uri, _ = record_files(tmp_path / "findings", "DatasetFindings", findings__json={"findings": [finding]})
    recorder.node("DatasetGate", outputs={"findings": (kind, uri, {"allowed_by": "ada"})})
    page, numbers = written(read_outcome(tmp_path / "metadata.db", "trees"), tmp_path / "report")
    assert "Allowed by ada" in page.text and "Remedy" not in page.text
    assert numbers["findings"][0]["allowed_by"] == "ada"


def test_pictures_of_findings_are_shown_with_both_classes_and_nothing_of_them_becomes_markup(tmp_path: Path) -> None:
    jpeg = base64.b64encode(b"\xff\xd8 a picture").decode()
    pictures = (
        Picture("a/<b>1</b>.jpg", jpeg, "<i>cat</i>", "dog", 0.0123),
        Picture('a/2.jpg" onerror="x', '"><script>x</script>', "cat", "eel", 0.25),
    )
    errors = Finding("label_errors", "2 labels are wrong", "correct them", informs=True, pictures=pictures)
    recorder = Recorder(tmp_path / "metadata.db", "trees")
    recorder.run("run-1")
    for name, found in (("DatasetGate", []), ("LabelReviewer", [{**asdict(errors), "allowed": False}])):
        recorder.node(
            name,
            outputs={"findings": record_files(tmp_path / name, "DatasetFindings", findings__json={"findings": found})},
        )
    page, numbers = written(read_outcome(tmp_path / "metadata.db", "trees"), tmp_path / "report")
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["src"] for image in images] == [
        f"data:image/jpeg;base64,{jpeg}", 'data:image/jpeg;base64,"><script>x</script>'
    ]  # fmt: skip
    assert [set(image) for image in images] == [{"src", "alt", "loading"}] * 2 and "script" not in dict(page.tags)
    text = " ".join(page.text.split())
    assert "a/<b>1</b>.jpg <i>cat</i>, looks like dog 0.0123" in text and "correct them" in text
    assert "Stops no run" in text and "Remedy" not in text
    assert numbers["findings"][0]["pictures"][0] == {
        "file": "a/<b>1</b>.jpg", "jpeg": None, "given": "<i>cat</i>", "looks_like": "dog", "score": 0.0123,
        "group": 0,
    }  # fmt: skip


def test_a_report_of_many_pictures_of_noise_stays_small(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "metadata.db", "trees")
    recorder.run("run-1")
    recorder.node("DatasetGate", state="FAILED")
    noise = np.random.default_rng(1).integers(0, 256, (96, 96, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=75)
    picture = Picture("a.jpg", base64.b64encode(buffer.getvalue()).decode())
    found = [Finding("two_labels", "two labels", "choose one", pictures=(picture,) * 7) for _ in range(100)]
    outcome = read_outcome(tmp_path / "metadata.db", "trees")
    path = write_report(outcome, tmp_path / "report", settings=settings(), log=None, error="e", findings=found)
    assert sum(tag == "img" for tag, _ in Page(path).tags) == 300 and path.stat().st_size < 5_000_000


def test_classes_that_deviate_from_their_shares_are_listed(tmp_path: Path) -> None:
    outcome = record_run(tmp_path)
    path = tmp_path / "ingest" / "ingest.json"
    ingest = json.loads(path.read_text())
    off = {"ash": {"train": [24, 22.4], "eval": [3, 2.8], "test": [1, 2.8]}}
    path.write_text(json.dumps({**ingest, "deviations": off}))
    page, _ = written(outcome, tmp_path / "report")
    assert [row for row in page.rows if row[0] == "ash" and len(row) == 7] == [
        ["ash", "24", "22.4", "3", "2.8", "1", "2.8"]
    ]


def test_a_run_without_any_node(tmp_path: Path) -> None:
    page, _ = written(Outcome("trees", "run-1", ()), tmp_path / "report")
    assert "Not blessed" in page.text and "Evaluator did not run" in page.text
    assert summary(Outcome("trees", "run-1", ()), report=None) == []


def test_hostile_names_stay_text(plots, tmp_path: Path) -> None:
    labels = sorted(HOSTILE)
    counts = np.diag([9] * len(labels)) + np.eye(len(labels), k=1, dtype=int)
    page, numbers = written(record_run(tmp_path, labels, counts), tmp_path / "report")
    named = [row[0] for row in page.rows if len(row) == 6]
    for label in labels:
        assert label in page.text and label in named, "complete, in the table of classes"
    assert "49" not in "".join(named)
    assert sum(tag == "svg" for tag, _ in page.tags) == 8
    assert numbers["confusion"]["labels"] == labels


def test_three_hundred_classes(plots, tmp_path: Path) -> None:
    labels = [f"class {n:03}" for n in range(300)]
    counts = np.random.default_rng(1).poisson(0.02, (300, 300)) + np.diag([8] * 300)
    counts[7] = 0  # a class without a test image
    page, numbers = written(record_run(tmp_path, labels, counts, transfer=None), tmp_path / "report")
    assert "300 classes, weakest first" in page.text and "the 40 smallest of 300 classes" in page.text
    assert page.row("class 007")[0] == "–" and page.row("class 007")[3:] == ["0", ""]
    assert len(numbers["classes"]) == len(numbers["confusion"]["counts"]) == 300
    assert (tmp_path / "report" / "index.html").stat().st_size < 1_500_000


def test_a_report_of_100_classes_and_100_000_images_is_smaller_than_5_mb(tmp_path: Path, monkeypatch) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (96, 96, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=75)
    largest = base64.b64encode(buffer.getvalue()).decode()
    labels = [f"class {n:03}" for n in range(100)]
    counts = np.random.default_rng(1).integers(1, 4, (100, 100)) + np.diag([800] * 100)
    pictures = [asdict(Picture(f"{n}.jpg", largest)) for n in range(7)]
    finding = {**asdict(Finding("two_labels", "two labels", "choose one")), "pictures": pictures}
    outcome = record_run(tmp_path, labels, counts, findings=[finding] * 100)
    samples = {split: {name: [f"{name}/{n}.jpg" for n in range(3)] for name in labels} for split in SPLITS}
    record_files(tmp_path / "ingest", "", samples__json=samples)
    kinds = ["mistake"] * 12 + ["uncertain"] * 12
    answers = [{"kind": kind, "file": "a.jpg", "label": labels[0], "answers": [[labels[1], 0.9]]} for kind in kinds]
    shown = [{**answer, "jpeg": largest, "looked": largest} for answer in answers]
    record_files(tmp_path / "edge_evaluation", "", notable__json=shown)
    monkeypatch.setattr(Originals, "thumbnail", lambda self, file: Thumbnail(encoded(noise)))
    page, numbers = written(outcome, tmp_path / "report")
    assert numbers["results"]["images"] > 90_000
    # Samples of one image in each class and split, findings, notable answers, and the first rejected files.
    assert sum(tag == "img" for tag, _ in page.tags) == 300 + 300 + 48 + 24
    assert (tmp_path / "report" / "index.html").stat().st_size < 5_000_000
    assert (tmp_path / "report" / "report.json").stat().st_size < 1_000_000


def test_a_broken_artifact_affects_only_its_section(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outcome = record_run(tmp_path)
    (tmp_path / "model_run" / "history.json").write_text('{"phases": [{"na')
    (tmp_path / "ingest" / "ingest.json").write_text('{"files": 3}')
    (tmp_path / "model" / "Format-Serving" / "assets" / "labels.txt").write_text("ash\n")
    (tmp_path / "findings" / "findings.json").unlink()
    page, numbers = written(outcome, tmp_path / "report")
    lost = {"training", "data", "confusion", "classes", "findings"}
    assert set(numbers["absent"]) == lost | {"notable", "coverage", "samples", "comparison"}
    assert "cannot be read (KeyError: 'accepted')" in page.text and "only 1 classes have a name" in page.text
    assert "DatasetGate wrote no findings.json." in page.text
    assert page.row("this run")[0] == "95.0%"
    assert len([record for record in caplog.records if "report: no section" in record.message]) == 4


def test_values_that_are_not_numbers_and_text_that_is_not_utf8_do_not_stop_the_report(plots, tmp_path: Path) -> None:
    int8 = {**VARIANTS["int8"], "agreement": float("nan"), "accuracy": None, "latency": None}
    outcome = record_run(tmp_path, variants={"int8": int8})
    head = {**phase("head", 3), "best_epoch": 9}
    head["epochs"][1].update(loss=float("nan"), val_accuracy=None, learning_rate=None)
    history = {"phases": [head], "exported": "head", "why": "a lone \udcff surrogate"}
    (tmp_path / "model_run" / "history.json").write_text(json.dumps(history))
    page, numbers = written(outcome, tmp_path / "report")
    assert page.row("int8", "edge") == ["blessed", "–", "–", "–", "612 kB", "–", "–"]
    assert page.row("head")[:3] == ["3", "–", "–"]
    assert numbers["training"]["phases"][0]["epochs"][1]["loss"] is None
    # An older history without a device.
    assert numbers["training"]["device"] == {"device": "", "why": "", "warning": ""}
    assert "Trained on" not in page.text
    assert r"a lone \udcff surrogate" in page.text


def test_the_device_is_shown(tmp_path: Path) -> None:
    page, _ = written(record_run(tmp_path), tmp_path / "report")
    text = " ".join(page.text.split())
    assert "Trained on GPU 0 (Tesla T4): the first of 2. Warning: slow so." in text


def test_an_older_report_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("old")
    page, _ = written(Outcome("trees", "run-1", ()), tmp_path / "report")
    assert "trees" in page.text and (tmp_path / "report" / "index.html").read_text() != "old"


def test_summary_of_a_blessed_run(tmp_path: Path) -> None:
    lines = summary(record_run(tmp_path), report=Path("/r/index.html"))
    agreement = (
        "int8: agreement 99.2 % (95 % interval 95.4 to 99.9) on 120 images; edge.min_agreement needs 97 %; "
        "in <small> print"
    )
    assert lines == [
        "blessed: accuracy 95 % (95 % interval 89.5 to 97.7) on 120 images; evaluation.min_accuracy needs 90 %",
        f"answers as measured when served: {SERVED.reason}",
        *[agreement] * len(VARIANTS),
        "  fixed features  90.0%  trained in 21.0 s",
        "  fine-tuned      95.0%  trained in 1:04 min",
        "  from scratch    61.2%  trained in 2:10 min",
        "  int8     95.0%   612 kB  3.21 ms  blessed",
        "  float32  95.0%  2.34 MB  3.21 ms  blessed",
        "read 477 files: 417 images, 60 rejected",
        "pushed to  /pushed/pushed_model/7",
        "pushed to  /pushed/pushed_bundle/7",
        "report     /r/index.html",
    ]


def test_summary_of_a_refused_run_names_the_reason_in_one_line(tmp_path: Path) -> None:
    variants = {"int8": variant(0.9, 999, ["too\nlarge", "too slow"])}
    lines = summary(record_run(tmp_path, variants=variants, transfer=None), report=None)
    read = "read 477 files: 417 images, 60 rejected"
    assert lines[3:] == ["  int8  90.0%  999 B  3.21 ms  refused: too large; too slow", read, "nothing was pushed"]


def test_the_number_of_near_duplicates_is_in_the_summary_and_in_the_report(tmp_path: Path) -> None:
    cause = "75 of 253 images are near-duplicates, in 30 groups: each"
    note = {"name": "near_duplicates", "cause": cause, "files": [], "informs": True}
    outcome = record_run(tmp_path, findings=[note])
    assert "75 of 253 images are near-duplicates, in 30 groups" in summary(outcome, report=None)
    assert note["cause"] in written(outcome, tmp_path / "report")[0].text


def refuse(folder: Path) -> None:
    """Record that the Evaluator refused the model for two reasons."""
    gates = [
        replace(gate, passed=False, measured=0.8, low=0.72, high=0.86, reason="") for gate in model_gates(0.8, 120)
    ]
    (folder / "evaluation" / FILE).write_text(file_of(gates))


def test_a_model_that_a_gate_refused_is_not_blessed_and_the_figures_are_in_the_first_line(tmp_path: Path) -> None:
    outcome = record_run(tmp_path)
    assert outcome.blessed
    refuse(tmp_path)
    lines = summary(outcome, report=None)
    assert lines[0] == (
        "not blessed: accuracy 80 % (95 % interval 72 to 86) on 120 images; evaluation.min_accuracy needs 90 %; "
        "accuracy lost against the last blessed model 80 % (95 % interval 72 to 86); "
        "evaluation.max_regression allows at most 0 %"
    )
    page, _ = written(outcome, tmp_path / "report")
    assert (
        "Not blessed" in page.text
        and "Remedy: train <longer>" in page.text
        and [row[6] for row in page.rows if row[0] == "SavedModel"] == ["refused"] * 2 + ["passed"]
    )


def test_a_model_that_does_not_serve_as_measured_is_not_blessed_and_the_first_line_says_why(tmp_path: Path) -> None:
    outcome = record_run(tmp_path)
    reason = "red/1.png: the probability of 'red' is 0.1, and the Evaluator measured 0.9"
    (tmp_path / "infra" / FILE).write_text(file_of([replace(SERVED, passed=False, measured=1, reason=reason)]))
    said = f"problems when it is served 1; infra.originals allows at most 0; {reason}"
    assert not outcome.blessed and outcome.reasons == [said]
    assert summary(outcome, report=None)[0] == f"not blessed: {said}"


def test_the_summary_has_the_accuracy_that_the_folds_correct(tmp_path: Path) -> None:
    outcome = record_run(tmp_path)
    folds = Gate(
        "evaluation.folds", "SavedModel", "accuracy, corrected by cross-validation,", needed=0.9, passed=True,
        measured=0.942, low=0.78, high=1.0, images=600, judged="upper_bound", reason="it can only refuse",
    )  # fmt: skip
    (tmp_path / "evaluation" / FILE).write_text(file_of([*model_gates(0.95, 120), folds]))
    assert summary(outcome, report=None)[1:3] == [
        "accuracy, corrected by cross-validation, 94.2 % (95 % interval 78 to 100) on 600 images; evaluation.folds "
        "needs 90 % by the upper end of the interval; it can only refuse",
        f"answers as measured when served: {SERVED.reason}",
    ]
    page, _ = written(outcome, tmp_path / "report")
    [row] = [row for row in page.rows if "evaluation.folds" in " ".join(row)]
    assert "90 % by the upper end" in row and "it can only refuse" in row


def test_a_model_whose_gates_cannot_be_read_is_not_blessed(tmp_path: Path) -> None:
    outcome = record_run(tmp_path)
    (tmp_path / "evaluation" / FILE).unlink()
    assert not outcome.blessed and outcome.reasons == [
        f"{tmp_path / 'evaluation' / FILE}: cannot be read (FileNotFoundError)"
    ]
    page, numbers = written(outcome, tmp_path / "report")
    assert "Not blessed" in page.text and numbers["absent"]["gates"] == "Evaluator wrote no gates.json."


@pytest.mark.parametrize(
    ("releases", "extra", "pushed", "sentences"),
    [
        ([], None, None, ["no version is served"]),
        ([11, 12], None, None, ["version 12 of both models is served, as before"]),
        ([11, 12], None, 12, ["version 12 of both models is served, before it 11"]),
        ([12], None, 12, ["version 12 of both models is served, the first"]),
        ([11, 12, (13, 11)], None, 12, ["version 13 of both models is served: a rollback to 11; 12 is not"]),
        ([11, 12, (13, 11)], None, None, ["version 13 of both models is served: a rollback to 11"]),
        (
            [11],
            14,
            None,
            [
                "SavedModel: version 14 is served, which is not a complete release",
                "edge bundle: version 11 is released",
            ],
        ),
        (
            [],
            14,
            None,
            ["SavedModel: version 14 is served, which is not a complete release", "edge bundle: none is released"],
        ),
    ],
)
def test_the_version_that_is_served_is_named(tmp_path: Path, releases, extra, pushed, sentences):
    recorder = Recorder(tmp_path / "metadata.db", "trees")
    recorder.run("run-1")
    places = Places(str(tmp_path / "edge"), str(tmp_path / "model"))
    for found in releases:
        version, rollback_to = found if isinstance(found, tuple) else (found, None)
        write_release(places, version, rollback_to)
    if extra:
        (tmp_path / "model" / str(extra)).mkdir(parents=True)
    (tmp_path / "model" / ".19.part").mkdir(parents=True)
    done = {"pushed": int(pushed is not None)}
    done |= {"pushed_version": str(pushed), "pushed_destination": f"model/{pushed}"} if pushed else {}
    destinations = {"edge_destination": places.edge, "saved_model_destination": places.saved_model}
    recorder.node("ReleasePusher", outputs={"pushed_model": ("PushedModel", "uri", done)}, properties=destinations)
    outcome = read_outcome(tmp_path / "metadata.db", "trees")
    lines, page = summary(outcome, report=None), written(outcome, tmp_path / "report")[0].text
    for sentence in sentences:
        assert sentence in lines and f"{sentence[0].upper()}{sentence[1:]}." in page
    if pushed:  # the line with the folder says the same
        assert ("not served model/12" if "12 is not" in sentences[0] else "pushed to  model/12") in lines


def test_importing_the_report_is_cheap(root: Path) -> None:
    heavy = "('tensorflow', 'matplotlib', 'jinja2', 'tensorflow_model_analysis', 'tfx')"
    code = f"import sys, edgetune.pipeline.report; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_variant_is_called_blessed_beside_a_model_that_is_refused(tmp_path: Path) -> None:
    outcome = record_run(tmp_path)
    refuse(tmp_path)
    page, numbers = written(outcome, tmp_path / "report")
    assert page.row("float32", "edge")[0] == page.row("int8", "edge")[0] == "passed"
    assert [line.split()[-1] for line in summary(outcome, report=None) if "ms" in line] == ["passed", "passed"]
    assert [variant["verdict"] for variant in numbers["edge"]["variants"]] == ["passed", "passed"]


def test_a_model_of_phase_1_is_not_called_fine_tuned(tmp_path: Path) -> None:
    outcome = record_run(tmp_path)
    path = tmp_path / "model_run" / "history.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "exported": "head"}))
    page, numbers = written(outcome, tmp_path / "report")
    assert "fine-tuned this model" not in " ".join(page.text.split())
    assert page.row("this model phase 1 was exported: fine-tuning was not better on eval")[0] == "95.0%"
    assert "  this model      95.0%  trained in 1:04 min" in summary(outcome, report=None)
    assert [row["name"] for row in numbers["transfer"]] == ["fixed_features", "fine_tuned", "from_scratch"]
