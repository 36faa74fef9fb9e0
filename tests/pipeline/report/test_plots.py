"""The report's plots: their contents, and the colours and font that the page decides."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from edgetune.pipeline.report import plots, words

DIAGRAM = {
    "ece": 0.25,
    "reliability": [
        {"images": 0, "confidence": None, "accuracy": None},
        {"images": 4, "confidence": 0.75, "accuracy": 0.5},
    ],
}


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter("text")]


def epochs(values: list[float | None]) -> list[dict[str, Any]]:
    keys = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    return [dict.fromkeys(keys, value) for value in values]


def test_colours_and_font_come_from_the_page(recwarn: pytest.WarningsRecorder) -> None:
    drawings = [
        plots.split_counts({"train": {"a": 3}, "eval": {"a": 2}, "test": {"a": 1}}),
        plots.training_curves([{"name": "head", "epochs": epochs([0.5, 0.1]), "best_epoch": 1}]),
        plots.confusion(["a", "b"], [[3, 1], [0, 4]]),
        plots.reliability(DIAGRAM, DIAGRAM),
    ]
    for svg in drawings:
        assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)) <= {
            "none",
            "currentColor",
            *(f"var(--{name})" for name in ("line", "train", "eval", "test", "wrong")),
        }
        assert set(re.findall(r"font-family: ([^;\"]+)", svg)) == {"var(--font)"}
        assert "#" not in re.sub(r"url\(#|href=\"#", "", svg)
        assert "<style" not in svg and "<!--" not in svg and "xmlns" not in svg and 'role="img"' in svg
    names = [set(re.findall(r'id="(.*?)"', svg)) for svg in drawings]
    assert len(set().union(*names)) == sum(map(len, names))
    assert not recwarn.list


def test_a_reliability_diagram_names_both_errors() -> None:
    found = texts(plots.reliability(DIAGRAM, {**DIAGRAM, "ece": 0.0123}))
    assert {"before: ECE 0.250", "after: ECE 0.012", "right answers", "images"} <= set(found)


def test_the_same_numbers_give_the_same_svg() -> None:
    assert plots.confusion(["a", "b"], [[3, 1], [0, 4]]) == plots.confusion(["a", "b"], [[3, 1], [0, 4]])


def test_split_counts_name_every_class_and_its_total() -> None:
    found = texts(plots.split_counts({"train": {"ash": 1200, "beech": 80}, "eval": {"ash": 34}, "test": {"beech": 7}}))
    assert {"ash", "beech", "1,234", "87", "train (1,280)", "eval (34)", "test (7)"} <= set(found)


def test_for_many_classes_the_smallest_are_shown_and_the_title_says_so() -> None:
    counts = {f"class {n:03}": n + 1 for n in range(300)}
    found = texts(plots.split_counts({"train": counts}))
    assert "class 000" in found and f"class {plots.MAX_BARS - 1:03}" in found
    assert f"class {plots.MAX_BARS:03}" not in found
    assert f"the {plots.MAX_BARS} smallest of 300 classes" in found


@pytest.mark.parametrize(
    "name", ["$\\frac{1}{$", "<b>&amp;", "--> <!-- x", 'x" id="y #010101 url(#z', "猫🐈", "'DejaVu Sans', a", "_under"]
)
def test_names_are_drawn_unchanged(name: str, recwarn: pytest.WarningsRecorder) -> None:
    assert name in texts(plots.split_counts({"train": {name: 1}}))
    assert texts(plots.confusion([name, "b"], [[1, 0], [0, 1]])).count(name) == 2
    assert not recwarn.list


def test_long_names_are_shortened_but_distinct_and_control_characters_are_replaced() -> None:
    found = texts(plots.split_counts({"train": {"x" * 200 + "1": 11, "x" * 200 + "2": 22, "a\x0bb\u202ec": 33}}))
    assert found.count("x" * 27 + "…") == 2 and {"11", "22", "33"} <= set(found)
    assert "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c" in found


def test_training_curves_name_the_phases_and_mark_the_best_epochs() -> None:
    phases = [
        {"name": "head", "epochs": epochs([0.5, 0.2, 0.1]), "best_epoch": 2},
        {"name": "fine_tune", "epochs": epochs([0.3, 0.1]), "best_epoch": 0},
    ]
    svg = plots.training_curves(phases)
    assert {"head", "fine-tune", "loss", "accuracy", "learning rate", "train", "eval"} <= set(texts(svg))
    one = plots.training_curves([{**phase, "best_epoch": None} for phase in phases])
    assert svg.count("<use") == one.count("<use") + 2


def test_training_curves_with_missing_values(recwarn: pytest.WarningsRecorder) -> None:
    phases: list[dict[str, Any]] = [
        {"name": "head", "epochs": epochs([None, 0.0, float("nan")]), "best_epoch": 7},
        {"name": "fine_tune", "epochs": [], "best_epoch": None},
    ]
    assert "fine-tune" not in texts(plots.training_curves(phases))
    assert not recwarn.list


def test_confusion_has_counts_for_few_classes_and_is_small_for_many() -> None:
    found = texts(plots.confusion(["a", "b"], [[31, 12], [0, 43]]))
    assert {"31", "12", "43"} <= set(found) and "0" not in found
    counts = np.random.default_rng(1).poisson(0.1, (300, 300))
    svg = plots.confusion([f"class {n}" for n in range(300)], counts.tolist())
    assert texts(svg) == ["predicted", "true"]
    assert svg.count("<path") < 60 and len(svg) < 800_000


def test_numbers_are_formatted_for_people() -> None:
    assert words.interval(None) == words.UNKNOWN
    shares = (0.0, 1.0, 0.9534, 0.9999, 0.99995, 0.0001, None)
    assert [words.percent(share) for share in shares] == ["0%", "100%", "95.3%", "99.99%", "99.995%", "0.01%", "–"]
    assert [words.points(value) for value in (0.0273, -0.0012, -0.000001, None)] == ["2.73", "−0.12", "0.00", "–"]
    sizes = (0, 999, 1000, 612_344, 999_999, 1_000_000, 2_341_000, 5_000_000_000, 1_234_000_000_000, None)
    found = ["0 B", "999 B", "1 kB", "612 kB", "1 MB", "1 MB", "2.34 MB", "5 GB", "1,230 GB", "–"]
    assert [words.size(size) for size in sizes] == found
    latencies = (0.0, 0.0412, 0.412, 3.214, 12.34, 123.4, 1240.2, None)
    found = ["0 ms", "0.041 ms", "0.412 ms", "3.21 ms", "12.3 ms", "123 ms", "1,240 ms", "–"]
    assert [words.milliseconds(value) for value in latencies] == found
