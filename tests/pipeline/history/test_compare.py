"""Two runs are compared by their records, the answers that were kept, and the reports."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.evaluation.answers import table
from edgetune.modules.evaluation.intervals import paired_difference
from edgetune.pipeline.cli import main
from edgetune.pipeline.history.compare import as_text, compare
from tests.helpers.nights import Nights


def answered(nights: Nights, right: dict[str, bool], label: str = "owl") -> None:
    """Write the answers of the latest night: by image, whether its class was named."""
    predicted = [label if ok else "jay" for ok in right.values()]
    scores = np.tile(np.float32([0.6, 0.4]), (len(right), 1))
    path = nights.folder / f"night-{nights.number}" / "answers-00000-of-00001.parquet"
    pq.write_table(table(list(right), [label] * len(right), predicted, scores), path)


def configured(nights: Nights, **configuration: object) -> None:
    """Write what the report of the latest night has of its configuration."""
    folder = nights.workdir / "reports" / "birds" / f"run-{nights.number}"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({"configuration": configuration}))


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    """Return two nights: of six common images, the second gets three more right and one less."""
    made = Nights(tmp_path)
    made.night(0.9)
    answered(made, {"a": True, "b": False, "c": False, "d": False, "e": True, "f": True, "old": True})
    configured(made, name="birds", training={"seed": 1, "head": {"epochs": 10}}, edge={"variants": ["int8"]})
    made.night(0.95, refused_by="InfraValidator")
    answered(made, {"a": True, "b": True, "c": True, "d": True, "e": False, "f": True})
    configured(made, name="birds", training={"seed": 1, "head": {"epochs": 12}}, edge={"variants": ["int8", "float16"]})
    return made


def test_verdicts_accuracy_and_the_answers_to_the_same_images(nights):
    found = compare(nights.settings, nights.workdir, "run-1", "run-2")
    assert [(run["run"], run["verdict"], run["by"]) for run in found["runs"]] == [
        ("run-1", "blessed", []),
        ("run-2", "refused", ["InfraValidator"]),
    ]
    assert [run["accuracy"]["measured"] for run in found["runs"]] == [0.9, 0.95]
    paired = found["paired"]
    assert (paired["images"], paired["of"], paired["only_first"], paired["only_second"]) == (6, [7, 6], 1, 3)
    low, high = paired_difference(np.array([1.0, 1.0, 1.0, -1.0, 0.0, 0.0]))
    assert (paired["difference"], paired["low"], paired["high"]) == pytest.approx((2 / 6, low, high))
    assert paired["p_value"] == pytest.approx(2 * 5 / 16)  # at least three of four
    assert compare(nights.settings, nights.workdir, "run-2", "run-1")["paired"]["difference"] == pytest.approx(-2 / 6)


def test_what_was_changed_is_told(nights):
    found = compare(nights.settings, nights.workdir, "run-1", "latest")
    assert found["configuration"]["changed"] == [
        {"key": "training.head.epochs", "first": 10, "second": 12},
        {"key": "edge.variants", "first": ["int8"], "second": ["int8", "float16"]},
    ]
    assert {(row["component"], row["first"], row["second"]) for row in found["libraries"]} == {
        ("ImageExampleGen", "2.1", "2.2"),
        ("TwoPhaseTrainer", "2.1", "2.2"),
    }
    assert found["code"] == [] and found["data"]["same"] is None
    lines = as_text(found)
    assert "configuration: training.head.epochs: 10 → 12" in lines
    assert any(line.split()[:2] == ["verdict", "blessed"] and "refused by InfraValidator" in line for line in lines)
    [place] = [
        number for number, line in enumerate(lines) if "only the first is right on 1, only the second on 3" in line
    ]
    assert lines[place].startswith("on 6 test images that both answered (of 7 and 6): ")
    assert lines[place + 1].startswith("  the second less the first: 33.33 points ") and "p = 0.62" in lines[place + 1]
    assert "libraries: TwoPhaseTrainer: tensorflow 2.1 → 2.2" in lines


def test_a_new_label_counts_for_both(nights):
    answered(nights, {"a": True, "b": True}, label="wren")  # the first night named its owls owls
    paired = compare(nights.settings, nights.workdir, "run-1", "run-2")["paired"]
    assert (paired["relabelled"], paired["only_first"], paired["only_second"]) == (2, 0, 2)


def test_variants_and_times_stand_beside_each_other(nights):
    facts = {"accuracy": 0.9, "agreement": 1.0, "bytes": 3_000_000, "latency": {"p50_ms": 1.5}, "blessed": True}
    metrics = {"variants": {"int8": facts}, "reasons": []}
    for number, milliseconds in ((1, 1.5), (2, 2.5)):
        facts["latency"] = {"p50_ms": milliseconds}
        (nights.folder / f"night-{number}" / "metrics.json").write_text(json.dumps(metrics))
    found = compare(nights.settings, nights.workdir, "run-1", "run-2")
    assert [run["variants"]["int8"]["p50_ms"] for run in found["runs"]] == [1.5, 2.5]
    assert set(found["runs"][0]["components"]) >= {"ImageExampleGen", "TwoPhaseTrainer", "Evaluator"}
    [line] = [line for line in as_text(found) if line.startswith("int8")]
    assert line.split() == ["int8", *("90.0%", "3", "MB", "1.50", "ms", "blessed")] + [
        *("90.0%", "3", "MB", "2.50", "ms", "blessed")
    ]


def test_nothing_of_tensorflow_is_imported(nights, monkeypatch):
    monkeypatch.setitem(sys.modules, "edgetune.modules.evaluation.tfma_results", None)  # importing it fails
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert compare(nights.settings, nights.workdir, "run-1", "run-2")["paired"]["images"] == 6


def test_two_workdirs_are_compared_by_their_latest_runs_whatever_the_name(nights, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    other = Nights(tmp_path / "other")
    other.night(0.7)
    assert main(["compare", str(nights.workdir), str(other.workdir), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in found["runs"]] == ["run-2", "run-1"]
    assert found["paired"]["reason"].endswith("has no answers")
    assert "cannot be read" in found["configuration"]["reason"]
    assert main(["compare", str(nights.workdir), str(other.workdir)]) == 0
    assert "cannot be compared: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("what", "said"), [("run-", "begins 2 runs"), ("run-9", "is neither a run of this workdir"), ("", "is neither")]
)
def test_a_run_that_is_not_clear_leads_to_those_there_are(nights, what, said):
    with pytest.raises(ConfigError, match=said) as caught:
        compare(nights.settings, nights.workdir, "run-1", what)
    assert "run-2, run-1" in caught.value.remedy
