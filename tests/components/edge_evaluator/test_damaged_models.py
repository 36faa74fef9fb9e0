"""Sabotaged models: EdgeEvaluator refuses each for its own reason, and ReleasePusher delivers none of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tfx import types
from tfx.types import standard_artifacts

from edgetune.components.common.artifacts import EdgeBlessing, EdgeEvaluation, EdgeModel, PushedBundle
from edgetune.components.edge_evaluator import EdgeEvaluator
from edgetune.components.edge_evaluator.executor import Executor as EdgeEvaluatorExecutor
from edgetune.components.release_pusher.executor import Executor as ReleasePusherExecutor
from edgetune.modules.litert.metadata import add_metadata
from edgetune.modules.settings.run import EdgeSettings
from tests.helpers import recorded_shards
from tests.helpers.model_blessing import infra_blessing, model_blessing
from tests.tiny import edge

MODEL, EDGE_MODEL = 31, 32
SWAPPED = ("blue", "red", "green")
# Per variant: the sabotage, and the reason for its refusal. The float32 variant is sound.
SABOTAGED = {
    "dynamic": ("labels swapped", "labels.txt inside the file differs from the SavedModel's"),
    "int8": ("quantization broken", "edge.max_accuracy_drop allows at most 1 %"),
    "float16": ("preprocessing removed", "edge.max_accuracy_drop allows at most 1 %"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, list[types.Artifact]]:
    """Return a SavedModel, an edge model with three sabotaged variants, and test images."""
    folder = tmp_path_factory.mktemp("sabotaged")
    model, edge_model, examples = standard_artifacts.Model(), EdgeModel(), standard_artifacts.Examples()
    model.uri, model.id = str(folder / "model"), MODEL
    Path(model.uri).mkdir()
    Path(model.uri, "Format-Serving").symlink_to(edge.saved_model())
    sound = edge.converted()
    contents = {
        "float32": sound["float32"],
        "int8": edge.with_a_lost_channel(sound["int8"]),
        "float16": edge.not_normalised(),
    }
    edge_model.uri, edge_model.id = edge.write_edge_model(folder / "edge", contents), EDGE_MODEL
    swapped = add_metadata(sound["dynamic"], SWAPPED, edge.ABOUT)
    Path(edge_model.uri, "model_dynamic.tflite").write_bytes(swapped)
    edge_model.set_string_custom_property("variants", ", ".join(("float32", *SABOTAGED)))
    examples.uri = edge.write_test_images(folder / "examples")
    recorded_shards.stamp(examples)
    return {"model": [model], "edge_model": [edge_model], "examples": [examples]}


def evaluated(folder: Path, inputs, required: tuple[str, ...]) -> tuple[EdgeEvaluation, EdgeBlessing]:
    channels = {"edge_model": EdgeModel, "model": standard_artifacts.Model, "examples": standard_artifacts.Examples}
    settings = EdgeSettings(variants=("float32", *SABOTAGED), required=required)
    component = EdgeEvaluator(**{key: types.Channel(type=kind) for key, kind in channels.items()}, settings=settings)
    evaluation, blessing = EdgeEvaluation(), EdgeBlessing()
    evaluation.uri, blessing.uri = str(folder / "evaluation"), str(folder / "blessing")
    outputs = {"evaluation": [evaluation], "blessing": [blessing]}
    EdgeEvaluatorExecutor().Do(inputs, outputs, dict(component.exec_properties))
    return evaluation, blessing


def pushed(folder: Path, inputs, evaluation: EdgeEvaluation, blessing: EdgeBlessing) -> PushedBundle:
    """Run ReleasePusher with a SavedModel that was blessed, and return its output for the bundle."""
    made = PushedBundle()
    judged = {"edge_evaluation": [evaluation], "edge_blessing": [blessing]}
    judged |= {"model_blessing": [model_blessing(folder, inputs["model"][0])]}
    judged |= {"infra_blessing": [infra_blessing(folder, inputs["model"][0])]}
    places = {"edge_destination": str(folder / "pushed"), "saved_model_destination": str(folder / "served")}
    properties = {**places, "pipeline_name": "colours", "config_digest": "c" * 64}
    given = {"model": inputs["model"], "edge_model": inputs["edge_model"]}
    outputs = {"pushed_bundle": [made], "pushed_model": [standard_artifacts.PushedModel()]}
    ReleasePusherExecutor().Do({**given, **judged}, outputs, properties)
    return made


def metrics_of(evaluation: EdgeEvaluation) -> dict:
    return json.loads(Path(evaluation.uri, "metrics.json").read_text())


def test_each_sabotaged_variant_is_refused_for_its_reason_and_only_the_sound_one_is_delivered(inputs, tmp_path):
    evaluation, blessing = evaluated(tmp_path, inputs, ("float32",))
    verdicts = {name: blessing.get_int_custom_property(f"blessed_{name}") for name in ("float32", *SABOTAGED)}
    assert verdicts == {"float32": 1, "dynamic": 0, "int8": 0, "float16": 0}
    for variant, (what, reason) in SABOTAGED.items():
        reasons = metrics_of(evaluation)["variants"][variant]["reasons"]
        assert any(reason in each for each in reasons), what
        assert any("edge.min_agreement needs 97 %" in each for each in reasons), what
    made = pushed(tmp_path, inputs, evaluation, blessing)
    bundle = Path(made.get_string_custom_property("pushed_destination"))
    assert [path.name for path in bundle.glob("*.tflite")] == ["model_float32.tflite"]
    assert list(json.loads((bundle / "bundle.json").read_text())["variants"]) == ["float32"]


@pytest.mark.parametrize(
    "variant", ["int8", *(pytest.param(name, marks=pytest.mark.large) for name in ("dynamic", "float16"))]
)
def test_nothing_is_delivered_if_a_sabotaged_variant_is_required(inputs, tmp_path, variant):
    evaluation, blessing = evaluated(tmp_path, inputs, ("float32", variant))
    assert blessing.get_int_custom_property("blessed") == 0
    assert blessing.get_int_custom_property("blessed_float32") == 1
    [reason] = metrics_of(evaluation)["reasons"]
    assert reason.startswith(f"required edge variant {variant}: ") and SABOTAGED[variant][1] in reason
    made = pushed(tmp_path, inputs, evaluation, blessing)
    assert made.get_int_custom_property("pushed") == 0
    assert made.get_string_custom_property("reason") == "the EdgeEvaluator refused the edge models"
    assert not (tmp_path / "pushed").exists()


def test_swapped_labels_beside_the_models_refuse_all_of_them(inputs, tmp_path):
    edge_model = EdgeModel()
    edge_model.uri, edge_model.id = edge.write_edge_model(tmp_path / "edge", beside=SWAPPED), EDGE_MODEL
    edge_model.set_string_custom_property("variants", ", ".join(edge.VARIANTS))
    swapped = {**inputs, "edge_model": [edge_model]}
    evaluation, blessing = evaluated(tmp_path, swapped, ())
    assert [blessing.get_int_custom_property(f"blessed_{name}") for name in edge.VARIANTS] == [0, 0, 0, 0]
    for facts in metrics_of(evaluation)["variants"].values():
        assert facts["reasons"] == [f"labels.txt beside the model differs from the SavedModel's: {list(SWAPPED)}"]
    assert pushed(tmp_path, swapped, evaluation, blessing).get_int_custom_property("pushed") == 0
    assert not (tmp_path / "pushed").exists()
