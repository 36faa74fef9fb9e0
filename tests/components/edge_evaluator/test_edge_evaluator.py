"""EdgeEvaluator: the verdict in the blessing, and the artifacts that it is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tfx import types
from tfx.types import standard_artifacts

from edgetune.components.common.artifacts import EdgeBlessing, EdgeEvaluation, EdgeModel
from edgetune.components.edge_evaluator import EdgeEvaluator
from edgetune.components.edge_evaluator.executor import Executor
from edgetune.modules.core.errors import DataError
from edgetune.modules.settings.run import DataSettings, EdgeSettings, EvaluationSettings
from tests.helpers import recorded_shards
from tests.tiny import edge, model


def component(unknown: str | None = None, deferred: bool = False, **settings) -> EdgeEvaluator:
    return EdgeEvaluator(
        edge_model=types.Channel(type=EdgeModel),
        model=types.Channel(type=standard_artifacts.Model),
        examples=types.Channel(type=standard_artifacts.Examples),
        settings=EdgeSettings(**settings),
        evaluation=EvaluationSettings(precision=0.9),
        data=DataSettings(path="/photos", max_side=None, unknown=unknown),
        deferred=deferred,
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, list[types.Artifact]]:
    """Return a model with a correct float32 variant and a wrong float16 variant."""
    folder = tmp_path_factory.mktemp("inputs")
    model, edge_model, examples = standard_artifacts.Model(), EdgeModel(), standard_artifacts.Examples()
    model.uri, model.id = str(folder / "model"), 11
    Path(model.uri).mkdir()
    Path(model.uri, "Format-Serving").symlink_to(edge.saved_model())
    contents = {"float32": edge.converted()["float32"], "float16": edge.not_normalised()}
    edge_model.uri, edge_model.id = edge.write_edge_model(folder / "edge", contents), 12
    edge_model.set_string_custom_property("variants", "float32, float16")
    examples.uri = edge.write_test_images(folder / "examples")
    recorded_shards.stamp(examples)
    return {"model": [model], "edge_model": [edge_model], "examples": [examples]}


def evaluated(folder: Path, inputs, **settings) -> tuple[EdgeEvaluation, EdgeBlessing]:
    evaluation, blessing = EdgeEvaluation(), EdgeBlessing()
    evaluation.uri, blessing.uri = str(folder / "evaluation"), str(folder / "blessing")
    outputs = {"evaluation": [evaluation], "blessing": [blessing]}
    Executor().Do(inputs, outputs, dict(component(**settings).exec_properties))
    return evaluation, blessing


def test_the_properties_are_the_thresholds_and_the_digest_of_the_code():
    properties = component(max_bytes=5).exec_properties
    assert properties == {
        "required": ["float32"],
        "max_accuracy_drop": 0.01,
        "min_agreement": 0.97,
        "max_class_drop": 0.1,
        "max_bytes": 5,
        "input_range": "raw",
        "precision": 0.9,
        "saliency": 6,
        "code_digest": properties["code_digest"],
        "library_versions": properties["library_versions"],
    }


def test_the_files_of_unknown_images_are_part_of_the_cache_key(tmp_path):
    (tmp_path / "a.png").write_bytes(model.png(model.image("red", 1)))
    before = component(unknown=str(tmp_path)).exec_properties
    used = {"unknown": str(tmp_path), "max_pixels": 89_478_485, "max_side": 0, "background": "#ffffff"}
    assert {**before, **used} == before
    assert before["unknown_fingerprint"] == component(unknown=str(tmp_path)).exec_properties["unknown_fingerprint"]
    (tmp_path / "b.png").write_bytes(model.png(model.image("red", 2)))
    assert component(unknown=str(tmp_path)).exec_properties["unknown_fingerprint"] != before["unknown_fingerprint"]
    with pytest.raises(DataError, match="does not exist"):
        component(unknown="/absent")
    assert component(unknown="/absent", deferred=True).exec_properties["unknown_fingerprint"] == ""


def test_unknown_images_are_read_and_the_models_temperature_is_used(tmp_path, inputs):
    folder = tmp_path / "unknown"
    folder.mkdir()
    (folder / "a.png").write_bytes(model.png(model.image("red", 1)))
    (folder / "broken.jpg").write_bytes(b"nothing")
    scaled = standard_artifacts.Model()
    scaled.uri, scaled.id = inputs["model"][0].uri, 11
    scaled.set_float_custom_property("temperature", 1.5)
    evaluation, _ = evaluated(tmp_path, {**inputs, "model": [scaled]}, unknown=str(folder))
    found = json.loads(Path(evaluation.uri, "metrics.json").read_text())["calibration"]
    assert found["unknown"] == {"images": 1, "unusable": 1, "accepted": 0}
    assert found["temperature"] == 1.5 and found["precision"] == 0.9
    assert found["before"]["ece"] != found["after"]["ece"]
    assert evaluation.get_float_custom_property("ece_saved_model") == found["after"]["ece"]


def test_no_limit_of_size_or_time_is_no_property():
    assert component().exec_properties.get("max_bytes") is None
    assert component().exec_properties.get("max_latency_ms") is None
    assert component(max_latency_ms=2.5).exec_properties["max_latency_ms"] == 2.5


def test_each_variant_is_blessed_separately_and_the_judged_artifacts_are_recorded(tmp_path, inputs):
    evaluation, blessing = evaluated(tmp_path, inputs)
    judged = {
        key: blessing.get_int_custom_property(key)
        for key in ("blessed", "blessed_float32", "blessed_float16", "model_id", "edge_model_id")
    }
    assert judged == {
        "blessed": 1,
        "blessed_float32": 1,
        "blessed_float16": 0,
        "model_id": 11,
        "edge_model_id": 12,
    }
    assert Path(blessing.uri, "BLESSED").exists()
    metrics = json.loads(Path(evaluation.uri, "metrics.json").read_text())
    assert metrics["blessed"] is True and metrics["variants"]["float16"]["blessed"] is False
    assert Path(evaluation.uri, "golden", "expected.json").exists()
    # The model is right about all colours: only the least certain right answers are kept, the least certain first.
    answers = json.loads(Path(evaluation.uri, "notable.json").read_text())
    assert [answer["kind"] for answer in answers] == ["uncertain"] * 12
    best = [answer["answers"][0] for answer in answers]
    assert [name for name, _ in best] == [answer["label"] for answer in answers]
    assert best == sorted(best, key=lambda named: named[1]) and all(answer["jpeg"] for answer in answers)


def test_the_main_figures_are_recorded_in_ml_metadata(tmp_path, inputs):
    evaluation, _ = evaluated(tmp_path, inputs)
    assert evaluation.get_int_custom_property("test_images") == 12
    assert evaluation.get_float_custom_property("accuracy_saved_model") == 1.0
    assert evaluation.get_float_custom_property("accuracy_float32") == 1.0
    assert evaluation.get_float_custom_property("agreement_float16") == pytest.approx(1 / 3)
    assert evaluation.get_int_custom_property("bytes_float32") > 1000
    p50, p95 = (evaluation.get_float_custom_property(f"{figure}_ms_float32") for figure in ("p50", "p95"))
    assert 0 < p50 <= p95
    assert evaluation.get_int_custom_property("edge_model_id") == 12


def test_a_required_variant_that_fails_refuses_all(tmp_path, inputs):
    evaluation, blessing = evaluated(tmp_path, inputs, required=["float32", "float16"])
    assert blessing.has_custom_property("blessed") and blessing.get_int_custom_property("blessed") == 0
    assert blessing.get_int_custom_property("blessed_float32") == 1
    assert Path(blessing.uri, "NOT_BLESSED").exists() and not Path(blessing.uri, "BLESSED").exists()
    [reason] = json.loads(Path(evaluation.uri, "metrics.json").read_text())["reasons"]
    assert reason.startswith("required edge variant float16: ")


def test_without_test_images_the_blessing_is_refused(tmp_path, inputs):
    empty = standard_artifacts.Examples()
    empty.uri = edge.write_test_images(tmp_path / "nothing", each=0)
    recorded_shards.stamp(empty)
    _, blessing = evaluated(tmp_path, {**inputs, "examples": [empty]})
    assert blessing.get_int_custom_property("blessed") == 0
    assert blessing.get_int_custom_property("blessed_float32") == 0
