"""Only files that every gate measured are fetched for a release."""

from __future__ import annotations

from pathlib import Path

import pytest
from tfx import types
from tfx.types import standard_artifacts

from edgetune.components.common import measured_files
from edgetune.components.common.artifacts import EdgeBlessing, EdgeEvaluation, EdgeModel, InfraBlessing
from edgetune.components.common.measured_files import fetch, record
from edgetune.modules.core.errors import PushError

MODEL = "model/Format-Serving"


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, list[types.Artifact]]:
    """Return a release's inputs, whose gates recorded the digests of what they measured."""
    judgements = ("evaluation/gates.json", "edge_evaluation/metrics.json", "infra/infra.json")
    for name in (f"{MODEL}/saved_model.pb", f"{MODEL}/fingerprint.pb", "edge/model_int8.tflite", *judgements):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    made = {
        "model": (standard_artifacts.Model(), "model"),
        "edge_model": (EdgeModel(), "edge"),
        "edge_evaluation": (EdgeEvaluation(), "edge_evaluation"),
        "model_blessing": (standard_artifacts.ModelBlessing(), "blessing"),
        "edge_blessing": (EdgeBlessing(), "edge_blessing"),
        "infra_blessing": (InfraBlessing(), "infra"),
    }
    for artifact, folder in made.values():
        artifact.uri = str(tmp_path / folder)
    found = {key: artifact for key, (artifact, _) in made.items()}
    found["model_blessing"].set_string_custom_property("evaluation_uri", str(tmp_path / "evaluation"))
    for key in ("model_blessing", "edge_blessing", "infra_blessing"):
        record(found[key], measured_files.SAVED_MODEL, str(tmp_path / MODEL))
    record(found["model_blessing"], measured_files.MODEL_EVALUATION, str(tmp_path / "evaluation"))
    record(found["infra_blessing"], measured_files.INFRA_EVALUATION, str(tmp_path / "infra"))
    record(found["edge_blessing"], measured_files.EDGE_MODEL, str(tmp_path / "edge"))
    record(found["edge_blessing"], measured_files.EDGE_EVALUATION, str(tmp_path / "edge_evaluation"))
    return {key: [artifact] for key, artifact in found.items()}


def test_what_all_gates_measured_is_fetched(inputs, tmp_path):
    copies = fetch(inputs, tmp_path / "copies")
    assert Path(copies[measured_files.SAVED_MODEL], "saved_model.pb").read_text() == f"{MODEL}/saved_model.pb"
    assert Path(copies[measured_files.EDGE_MODEL], "model_int8.tflite").exists()


@pytest.mark.parametrize(
    ("name", "gate"),
    [
        (f"{MODEL}/saved_model.pb", "Evaluator"),
        (f"{MODEL}/fingerprint.pb", "Evaluator"),
        ("evaluation/gates.json", "Evaluator"),
        ("infra/infra.json", "InfraValidator"),
        ("edge/model_int8.tflite", "EdgeEvaluator"),
        ("edge_evaluation/metrics.json", "EdgeEvaluator"),
    ],
)
def test_a_file_that_is_not_the_one_that_was_measured_is_refused(inputs, tmp_path, name, gate):
    (tmp_path / name).write_text("changed")
    with pytest.raises(PushError, match=f"its files are not those that the {gate} measured"):
        fetch(inputs, tmp_path / "copies")


@pytest.mark.parametrize("gate", ["model", "edge", "infra"])
def test_each_gate_must_have_measured_this_saved_model(inputs, tmp_path, gate):
    [blessing] = inputs[f"{gate}_blessing"]
    blessing.set_string_custom_property(measured_files.SAVED_MODEL, "0" * 64)
    with pytest.raises(PushError, match="its files are not those that"):
        fetch(inputs, tmp_path / "copies")
    blessing.set_string_custom_property(measured_files.SAVED_MODEL, "")
    with pytest.raises(PushError, match="did not record which files it measured"):
        fetch(inputs, tmp_path / "copies")
