"""Each variant says on which arithmetic it was judged, and float16 is refused if half precision breaks it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgetune.modules.conversion.pooling import two_step_pools
from edgetune.modules.evaluation import arithmetic
from edgetune.modules.evaluation.edge import evaluate
from edgetune.modules.evaluation.verdict import Thresholds
from edgetune.modules.litert.graph import UnsupportedOperation
from edgetune.modules.litert.half_precision import HalfPrecision
from tests.tiny import edge, loud

IMAGES = edge.representative()
SAFE = HalfPrecision(16, 255.0, 1000.0, "MEAN pool", finite=True, changed=0, max_difference=0.001)


def measured(folder, content: bytes) -> dict:
    """Return the metrics of variants with this content."""
    edge_model = edge.write_edge_model(folder / "edge", {"float32": content, "float16": content})
    examples = edge.write_test_images(folder / "examples")
    return evaluate(loud.saved_model(), edge_model, examples, Thresholds())


def test_a_pool_that_overflows_is_refused_for_float16_and_told_for_float32(tmp_path, caplog):
    metrics = measured(tmp_path, loud.one_step())
    float16, float32 = metrics["variants"]["float16"], metrics["variants"]["float32"]
    assert float16["accuracy"] == float16["agreement"] == 1.0  # on a CPU nothing is wrong
    [reason] = float16["reasons"]
    assert not float16["blessed"]
    assert reason.startswith("overflows in half precision: MEAN ") and "sums up to 11" in reason
    assert reason.endswith("over 65,504; leave float16 out of edge.variants, or choose another model.backbone")
    assert float32["blessed"] and metrics["blessed"]
    assert float32["arithmetic"]["half_precision"]["safe"] is False
    assert "edge variant float32: overflows in half precision" in caplog.text
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_two_steps_make_the_same_network_safe(tmp_path):
    metrics = measured(tmp_path, two_step_pools(loud.one_step()))
    for name in ("float32", "float16"):
        facts = metrics["variants"][name]
        half = facts["arithmetic"]["half_precision"]
        assert facts["blessed"] and (half["safe"], half["problem"]) == (True, None)
        assert half["limit"] == 65504 and half["images"] == 12 and 3_000 < half["largest_sum"] < 5_000
        assert half["finite"] and half["changed"] == 0 and half["max_difference"] < 0.01
    assert metrics["variants"]["float32"]["arithmetic"]["measured_in"] == "CPU, float32"


def test_int8_has_no_sums_in_floating_point():
    facts, reasons = arithmetic.judge("int8", edge.converted()["int8"], IMAGES, 0.97)
    assert facts == {"measured_in": "CPU, 8-bit integers, sums in 32 bits", "half_precision": None}
    assert reasons == []


def test_a_network_that_cannot_be_emulated_is_refused_for_float16_only(monkeypatch):
    def unsupported(content, images):
        raise UnsupportedOperation("operation SIN")

    monkeypatch.setattr(arithmetic, "measure", unsupported)
    for name, refused in (("float16", True), ("float32", False), ("dynamic", False)):
        facts, reasons = arithmetic.judge(name, b"", IMAGES, 0.97)
        half = facts["half_precision"]
        assert half == {"safe": None, "problem": "cannot be emulated in half precision: operation SIN"}
        assert reasons == [f"{half['problem']}; {arithmetic._REMEDY}"] * refused


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"changed": 1}, None),  # a single image
        ({"changed": 2}, "names another class for 2 of 16 test images when emulated in half precision"),
        ({"changed": 3, "images": 100}, None),
        ({"finite": False}, "gives answers that are not finite numbers when emulated in half precision"),
        ({"largest_sum": 65504.0}, None),
        ({"largest_sum": 65505.0}, "overflows in half precision: MEAN pool sums up to 65,505, over 65,504"),
        ({"largest_value": 70000.0}, "overflows in half precision: its values reach 70,000, over 65,504"),
        ({"largest_value": np.inf, "largest_sum": np.inf}, "overflows in half precision: MEAN pool sums up to inf"),
    ],
)
def test_each_problem_is_one_sentence_with_its_figures(monkeypatch, changes, said):
    found = HalfPrecision(**{**SAFE.__dict__, **changes})
    monkeypatch.setattr(arithmetic, "measure", lambda content, images: found)
    facts, reasons = arithmetic.judge("float16", b"", IMAGES, 0.97)
    assert (facts["half_precision"]["safe"], bool(reasons)) == (said is None, said is not None)
    assert said is None or reasons[0].startswith(said)
    json.dumps(facts, allow_nan=False)


def test_a_bounded_number_of_images_is_measured(monkeypatch):
    seen = []
    monkeypatch.setattr(arithmetic, "measure", lambda content, images: seen.append(len(images)) or SAFE)
    arithmetic.judge("float16", b"", np.zeros((40, 4, 4, 3), np.uint8), 0.97)
    assert seen == [arithmetic.IMAGES]
