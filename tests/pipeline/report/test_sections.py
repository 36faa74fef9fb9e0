"""Sections of the report that are computed from plain values: no run, and no TensorFlow."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from edgetune.modules.evaluation.answers import table
from edgetune.modules.evaluation.intervals import wilson
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.local import aftermath, places
from edgetune.pipeline.metadata.outcome import Artifact, Node, Outcome
from edgetune.pipeline.report import write_index
from edgetune.pipeline.report.artifacts import Absent
from edgetune.pipeline.report.checks import checks
from edgetune.pipeline.report.comparison import comparison
from edgetune.pipeline.report.coverage import coverage
from edgetune.pipeline.report.dag import picture
from edgetune.pipeline.report.evaluation import _scores
from edgetune.pipeline.report.originals import MOST_BYTES, SIDE, Originals, Thumbnail, encoded
from edgetune.pipeline.report.pictures import MAX_FOUND_BYTES, complete, samples
from edgetune.pipeline.report.reproduce import reproduce
from tests.helpers.releases import write_release

NOISE = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def settings(**groups) -> RunSettings:
    return RunSettings.model_validate({"name": "trees", "data": {"path": "/photos/trees"}, **groups})


def image(jpeg: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(jpeg)))


def test_precision_recall_and_f1_have_the_right_values():
    found = _scores(np.array([[40, 0, 0], [1, 38, 1], [4, 0, 36]]), 0)
    assert found["precision"] == 40 / 45 and found["precision_interval"] == wilson(40, 45)
    assert found["f1"] == pytest.approx(2 * (40 / 45) * 1.0 / (40 / 45 + 1.0))
    # Of J = 40 / 45 Wilson's interval is 0.7650 to 0.9516, and 2 J / (1 + J) of its ends:
    assert found["f1_interval"] == pytest.approx((0.8669, 0.9752), abs=1e-4)
    nothing = _scores(np.array([[0, 0], [0, 3]]), 0)
    assert nothing == dict.fromkeys(("precision", "precision_interval", "f1", "f1_interval"))


def write_answers(folder: Path, scores: list[float], right: list[bool]) -> str:
    probabilities = np.array([[score, 1 - score] for score in scores], np.float32)
    named = ["a" if good else "b" for good in right]
    ids = [f"{number:064}" for number in range(len(scores))]
    folder.mkdir(parents=True)
    pq.write_table(table(ids, named, ["a"] * len(scores), probabilities), folder / "answers-00000-of-00001.parquet")
    return str(folder)


def test_precision_by_coverage(tmp_path):
    scores = [0.95, 0.9, 0.9, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.51]
    right = [True, True, False, True, True, True, False, True, False, False]
    found = coverage(write_answers(tmp_path / "evaluation", scores, right))
    assert found["images"] == 10 and len(found["points"]) == 9  # two answers of the same probability are one point
    by_share = {row["coverage"]: row for row in found["rows"]}
    assert list(by_share) == [0.5, 0.8, 0.9, 1.0]
    assert by_share[0.5]["precision"] == 4 / 5 and by_share[0.5]["threshold"] == pytest.approx(0.75)
    assert by_share[1.0]["precision"] == 6 / 10 and by_share[1.0]["interval"] == wilson(6, 10)
    assert [point["coverage"] for point in found["points"][:2]] == [0.1, 0.3]
    many = coverage(write_answers(tmp_path / "many", np.linspace(0.5, 1, 3000).tolist(), [True] * 3000))
    assert len(many["points"]) == 200 and many["points"][-1]["coverage"] == 1
    with pytest.raises(Absent, match="has no answers"):
        coverage(str(tmp_path))


def test_checks_of_the_data_have_what_was_measured_and_needed():
    data = {"files": 110, "not_images": 10, "rejected": 9, "left_out": 2, "splits": {"train": {"ash": 5, "fir": 20}}}
    stop, allowed, note = ({"informs": False, "allowed": False}, {"informs": False, "allowed": True},
                           {"informs": True, "allowed": False})  # fmt: skip
    strict = settings(data={"path": "/p", "max_rejected": 0.06, "min_examples_per_class": 10})
    found = {gate.name: gate for gate in checks(data, [stop, allowed, note], strict)}
    assert (found["data.max_rejected"].measured, found["data.max_rejected"].passed) == (0.07, False)
    smallest = found["data.min_examples_per_class"]
    assert (smallest.measured, smallest.passed, smallest.reason) == (5, False, "it is ash")
    assert (found["data.allow"].measured, found["data.allow"].passed) == (1, False)
    assert found["data.allow"].reason == "1 more finding allowed, 1 finding for information"
    [passed] = checks(None, [allowed], strict)
    assert passed.passed and checks(None, None, strict) == []


def report(run: str, started: str, accuracy: float, blessed: bool, rate: float) -> dict:
    variant = {"name": "int8", "accuracy": accuracy, "bytes": 600_000, "latency": {"p50_ms": 3.0}}
    return {
        "verdict": {
            "pipeline": "trees", "run": run, "started": started, "blessed": blessed, "failed": [],
            "pushed": ["/p"] if blessed else [], "reasons": [] if blessed else ["accuracy <b>80 %</b>"],
        },
        "results": {"accuracy": accuracy, "images": 120, "interval": [accuracy - 0.1, 1.0]},
        "data": {"accepted": 400},
        "edge": {"variants": [variant]},
        "classes": [{"name": "ash", "accuracy": accuracy}, {"name": "fir", "accuracy": 0.5}],
        "configuration": {"training": {"head": {"learning_rate": rate}}, **({"old": 1} if blessed else {})},
        "components": [{"seconds": 30.0}, {"seconds": 40.0}],
    }  # fmt: skip


def write_reports(folder: Path) -> dict:
    """Write reports of three runs, the second of which is the last blessed one, and return that of the third."""
    found = {}
    for number, (accuracy, blessed) in enumerate(((0.7, True), (0.9, True), (0.8, False)), start=1):
        name = f"run-{number}"
        found[name] = report(name, f"2026-01-0{number}T10:00:00+00:00", accuracy, blessed, number / 1000)
        (folder / name).mkdir(parents=True)
        (folder / name / "report.json").write_text(json.dumps(found[name]))
    return found["run-3"]


def test_a_run_is_compared_with_the_last_blessed_one_before_it(tmp_path):
    now = write_reports(tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "report.json").write_text('{"verdict": ')
    found = comparison(now, tmp_path, "run-3")
    assert found["run"] == "run-2"
    assert {row["what"]: (row["before"], row["now"]) for row in found["rows"]} == {
        "accuracy on test": (0.9, 0.8), "test images": (120, 120), "images": (400, 400), "int8: accuracy": (0.9, 0.8),
        "int8: size": (600_000, 600_000), "int8: p50": (3.0, 3.0),
    }  # fmt: skip
    assert found["classes"] == [{"name": "ash", "before": 0.9, "now": 0.8}]
    assert found["settings"] == [
        {"key": "training.head.learning_rate", "before": "0.002", "now": "0.003"},
        {"key": "old", "before": "1", "now": None},
    ]
    first = report("run-1", "2026-01-01T10:00:00+00:00", 0.7, True, 0.001)
    with pytest.raises(Absent, match="No earlier run"):
        comparison(first, tmp_path, "run-1")


def test_the_index_has_all_runs_the_latest_first(tmp_path):
    write_reports(tmp_path / "trees")
    (tmp_path / "trees" / "run-9").mkdir()
    (tmp_path / "trees" / "run-9" / "report.json").write_text("{}")
    page = write_index(tmp_path).read_text(encoding="utf-8")
    places = [page.index(f'href="trees/run-{number}/index.html"') for number in (3, 2, 1)]
    assert places == sorted(places) and "run-9" not in page
    assert "accuracy &lt;b&gt;80 %&lt;/b&gt;" in page and "1:10 min" in page and "80.0%" in page
    assert write_index(tmp_path).read_text(encoding="utf-8") == page, "and the index is not one of them"


def test_a_component_is_below_all_that_it_reads_from():
    nodes = [
        Node("A", "COMPLETE"),
        Node("B", "CACHED", computed_seconds=65, after=("A",)),
        Node("C", "COMPLETE", after=("A",)),
        Node("D", "FAILED", after=("A", "B", "C", "gone")),
    ]
    found = picture(nodes)
    boxes = {box.name: box for box in found.boxes}
    assert boxes["A"].y < boxes["B"].y == boxes["C"].y < boxes["D"].y and boxes["B"].x < boxes["C"].x
    assert [box.state for box in found.boxes] == ["done", "cached", "done", "failed"] and boxes["B"].seconds == 65
    # Of A to D, B and C tell; so there are four lines.
    assert len(found.lines) == 4
    assert all(box.x >= 0 and box.x + 158 <= found.width and box.y + 46 <= found.height for box in found.boxes)
    assert picture([]).boxes == ()


def test_samples_begin_with_one_of_each_class_and_say_what_is_missing(tmp_path, monkeypatch):
    files = {split: {name: [f"{name}/{n}.jpg" for n in range(3)] for name in "ab"} for split in ("train", "test")}
    (tmp_path / "samples.json").write_text(json.dumps(files))
    made = Artifact(1, "IngestReport", str(tmp_path))
    outcome = Outcome("trees", "run-1", (Node("ImageExampleGen", "COMPLETE", outputs={"report": (made,)}),))
    asked = []

    def thumbnail(self, file):
        asked.append(file)
        return Thumbnail("abc") if len(asked) <= 5 else Thumbnail(why="left out to save time")

    monkeypatch.setattr(Originals, "thumbnail", thumbnail)
    rows = samples(outcome, Originals(None, Reading()))
    assert [{split: len(shown) for split, shown in row["splits"].items()} for row in rows] == [
        {"train": 2, "test": 1}, {"train": 1, "test": 1},
    ]  # fmt: skip
    assert len(asked) == 12 and sum(len(row["missing"]) for row in rows) == 7
    monkeypatch.setattr(Originals, "thumbnail", lambda self, file: Thumbnail(why="the folder of the data is gone"))
    with pytest.raises(Absent, match="No samples can be shown from the data's folder: the folder of the data is gone"):
        samples(outcome, Originals(None, Reading()))


def test_what_reproduces_a_run_is_quoted(tmp_path):
    workdir = tmp_path / "a folder"
    found = reproduce(Outcome("trees", "run-1", (Node("A", properties={"code_digest": "c0de"}),)), settings(), workdir)
    assert found["commands"][0] == f"edgetune run --config run.yaml --workdir '{workdir}'"
    assert {"what": "code of A", "digest": "c0de"} in found["digests"] and found["digests"][0][
        "what"
    ] == "configuration"


def test_a_thumbnail_is_upright_and_bounded(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    left = np.zeros((200, 400, 3), np.uint8)
    left[:, :200] = 255
    Image.fromarray(left).save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(np.tile(NOISE, (9, 9, 1))).save(tmp_path / "noise.png")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "turned.jpg").read_bytes()[:700])
    originals = Originals(str(tmp_path), Reading(max_side=SIDE))
    with image(originals.thumbnail("turned.jpg").jpeg) as turned:
        assert turned.size == (SIDE // 2, SIDE)
        assert np.asarray(turned.convert("L"))[:40].mean() > 240 > 15 > np.asarray(turned.convert("L"))[-40:].mean()
    assert 500 < len(originals.thumbnail("noise.png").jpeg) <= MOST_BYTES * 4 / 3 + 4
    cut, gone = originals.thumbnail("cut.jpg"), originals.thumbnail("../secret.jpg")
    assert (cut.jpeg, gone.jpeg) == ("", "") and cut.why and gone.why
    assert Originals(None, Reading()).thumbnail("turned.jpg").why == "no file of its own"
    assert Originals(str(tmp_path), Reading(max_side=SIDE), seconds=0).thumbnail("turned.jpg").why


def test_a_link_out_of_the_data_is_not_followed(tmp_path):
    (tmp_path / "data").mkdir()
    Image.fromarray(NOISE).save(tmp_path / "private.png")
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "private.png")
    originals = Originals(str(tmp_path / "data"), Reading(max_side=SIDE))
    for name in ("link.png", "../private.png", str(tmp_path / "private.png")):
        assert originals.thumbnail(name).jpeg == ""


def test_thumbnails_of_findings_become_coarser_if_they_are_many():
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "JPEG", quality=75)
    noise = base64.b64encode(buffer.getvalue()).decode()
    found = complete([{"pictures": [{"jpeg": noise, "file": "a.jpg"} for _ in range(300)]}], Originals(None, Reading()))
    sizes = [len(one["jpeg"]) for one in found[0]["pictures"]]
    assert min(sizes) > 500 and sum(sizes) <= MAX_FOUND_BYTES
    few = complete([{"pictures": [{"jpeg": noise, "file": "a.jpg"}]}], Originals(None, Reading()))
    assert few[0]["pictures"][0]["jpeg"] == noise


@pytest.mark.parametrize("most", [4000, 1500, 700])
def test_a_jpeg_is_not_larger_than_wanted(most):
    assert 0 < len(base64.b64decode(encoded(NOISE, most))) <= most


def test_wherever_a_run_ended_it_has_a_report_and_is_in_the_index(tmp_path):
    outcome = Outcome("trees", "run-1", (Node("ImageExampleGen", "RUNNING"),))
    page = aftermath.report_of(outcome, tmp_path, settings(), Path("/logs/1.log"), "interrupted by Ctrl-C")
    assert "interrupted by Ctrl-C" in page.read_text(encoding="utf-8")
    index = tmp_path / "reports" / "index.html"
    assert page == tmp_path / "reports" / "trees" / "run-1" / "index.html"
    assert 'href="trees/run-1/index.html"' in index.read_text(encoding="utf-8")
    assert "No version is served." in page.read_text(encoding="utf-8")
    write_release(places.pushed(settings(), tmp_path), 12)
    page = aftermath.report_of(outcome, tmp_path, settings(), Path("/logs/1.log"), "interrupted by Ctrl-C")
    assert "Version 12 of both models is served, as before." in page.read_text(encoding="utf-8")
    assert "stopped at ImageExampleGen" in index.read_text(encoding="utf-8")
    index.unlink()
    index.mkdir()  # which cannot be replaced by a file
    assert aftermath.report_of(outcome, tmp_path, settings(), Path("/logs/1.log"), "again").is_file()
