"""Reading a run from ML Metadata: the right run, its artifacts, and a verdict that fails closed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgetune.modules.core.errors import ConfigError, DatabaseError
from edgetune.modules.evaluation.gates import FILE, Gate, file_of
from edgetune.pipeline.metadata.outcome import NOT_RUN, read_outcome
from tests.helpers.recorded_run import Made, Recorder

GATE = Gate("evaluation.min_accuracy", "SavedModel", "accuracy", needed=0.9, passed=True, measured=0.8, images=50)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "metadata.db"


def evaluator(tmp_path: Path, blessed: int) -> dict[str, Made]:
    (tmp_path / "evaluation").mkdir(exist_ok=True)
    (tmp_path / "evaluation" / FILE).write_text(file_of([replace(GATE, passed=bool(blessed))]))
    return {
        "evaluation": ("ModelEvaluation", str(tmp_path / "evaluation"), {}),
        "blessing": ("ModelBlessing", "blessing", {"blessed": blessed}),
    }


def infra(tmp_path: Path, blessed: int) -> dict[str, Made]:
    (tmp_path / "infra").mkdir(exist_ok=True)
    gate = Gate("infra.originals", "SavedModel", "problems", needed=0, passed=bool(blessed), whole=True, at_most=True)
    (tmp_path / "infra" / FILE).write_text(file_of([replace(gate, measured=1 - blessed)]))
    return {"blessing": ("edgetune.InfraBlessing", str(tmp_path / "infra"), {"blessed": blessed})}


def edge(tmp_path: Path, blessed: int, metrics: dict[str, Any] | None = None) -> dict[str, Made]:
    folder = tmp_path / "edge_evaluation"
    folder.mkdir(exist_ok=True)
    if metrics is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics))
    return {
        "evaluation": ("EdgeEvaluation", str(folder), {}),
        "blessing": ("EdgeBlessing", "edge_blessing", {"blessed": blessed}),
    }


def pushed(kind: str, destination: str, done: int = 1) -> Made:
    return (kind, "uri", {"pushed": done, "pushed_destination": destination})


def test_the_latest_run_is_read_by_default_and_any_other_by_its_id(db: Path) -> None:
    recorder = Recorder(db, "demo")
    for number in (1, 2, 3):
        recorder.run(f"run-{number}")
        recorder.node("Transform", properties={"n": number, "__internal__": "x"})
    Recorder(db, "other").run("run-of-another-pipeline")
    assert read_outcome(db, "demo").run_id == "run-3"
    assert read_outcome(db, "demo").node("Transform").properties == {"n": 3}
    assert read_outcome(db, "demo", "run-2").node("Transform").properties == {"n": 2}


def test_a_missing_record_is_an_error_that_names_it(db: Path) -> None:
    with pytest.raises(ConfigError, match="metadata.db"):
        read_outcome(db, "demo")
    assert not db.exists()
    recorder = Recorder(db, "demo")
    with pytest.raises(ConfigError, match="no run of pipeline demo"):
        read_outcome(db, "demo")
    recorder.run("run-1")
    with pytest.raises(ConfigError, match="no run of pipeline digits"):
        read_outcome(db, "digits")
    with pytest.raises(ConfigError, match="no run run-9 of pipeline demo"):
        read_outcome(db, "demo", "run-9")


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"", ConfigError, "metadata.db: no run is recorded here"),  # what a killed first run may leave
        (b"not sqlite at all" * 100, DatabaseError, "metadata.db: not a database"),
    ],
)
def test_a_file_that_is_not_a_database_is_an_error(db: Path, content: bytes, error: type, said: str) -> None:
    db.write_bytes(content)
    with pytest.raises(error, match=said):
        read_outcome(db, "demo")
    assert db.read_bytes() == content


def test_a_cached_node_has_the_artifacts_and_duration_of_the_original_execution(db: Path) -> None:
    recorder = Recorder(db, "demo")
    recorder.run("run-1")
    first = recorder.node("Transform", outputs={"graph": ("TransformGraph", "/graph/1", {"note": "a"})})
    recorder.run("run-2")
    second = recorder.node("Transform", "CACHED")
    seconds = {
        execution.id: (execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000
        for execution in recorder.store.get_executions()
    }
    node = read_outcome(db, "demo").node("Transform")
    assert node.state == "CACHED" and node.succeeded
    artifact = node.artifact("graph")
    assert artifact is not None and artifact.uri == "/graph/1"
    assert artifact.type == "TransformGraph" and artifact.custom_properties == {"note": "a"}
    assert (node.seconds, node.computed_seconds) == (seconds[second], seconds[first])


def test_nodes_are_in_the_order_of_their_start_and_missing_ones_did_not_run(db: Path) -> None:
    recorder = Recorder(db, "demo")
    recorder.run("run-1")
    for name in ("ImageExampleGen", "Transform", "DatasetGate"):
        recorder.node(name, "FAILED" if name == "DatasetGate" else "COMPLETE")
    outcome = read_outcome(db, "demo")
    assert [node.id for node in outcome.nodes] == ["ImageExampleGen", "Transform", "DatasetGate"]
    assert outcome.node("Evaluator").state == NOT_RUN
    assert outcome.node("Evaluator").artifact("blessing") is None
    assert outcome.failed == ["DatasetGate"]
    assert not outcome.blessed and outcome.reasons == ["DatasetGate failed"]


def test_a_run_is_blessed_if_all_gates_blessed_and_no_node_failed(db: Path, tmp_path: Path) -> None:
    recorder = Recorder(db, "demo")
    recorder.run("run-1")
    recorder.node("Evaluator", outputs=evaluator(tmp_path, 1))
    one_gate = read_outcome(db, "demo")
    assert not one_gate.blessed
    assert one_gate.reasons == ["InfraValidator did not run", "EdgeEvaluator did not run"]
    recorder.node("InfraValidator", outputs=infra(tmp_path, 1))
    recorder.node("EdgeEvaluator", outputs=edge(tmp_path, 1))
    outputs = {"pushed_model": pushed("PushedModel", "/models/7"), "pushed_bundle": pushed("PushedBundle", "", done=0)}
    recorder.node("ReleasePusher", outputs=outputs)
    outcome = read_outcome(db, "demo")
    assert outcome.blessed and outcome.reasons == []
    assert outcome.pushed == ["/models/7"]
    recorder.node("Other", "FAILED")
    assert not read_outcome(db, "demo").blessed


def test_a_refused_edge_model_has_variant_and_reason(db: Path, tmp_path: Path) -> None:
    refused = {"blessed": False, "reasons": ["agreement 0.93 is below edge.min_agreement 0.97"]}
    metrics = {
        "variants": {"float32": {"blessed": True, "reasons": []}, "int8": refused},
        "blessed": False,
        "reasons": [],
    }
    recorder = Recorder(db, "demo")
    recorder.run("run-1")
    recorder.node("Evaluator", outputs=evaluator(tmp_path, 1))
    recorder.node("InfraValidator", outputs=infra(tmp_path, 1))
    recorder.node("EdgeEvaluator", outputs=edge(tmp_path, 0, metrics))
    outcome = read_outcome(db, "demo")
    assert not outcome.blessed
    assert outcome.reasons == ["edge variant int8: agreement 0.93 is below edge.min_agreement 0.97"]


def test_a_model_that_does_not_serve_as_measured_has_the_reason(db: Path, tmp_path: Path) -> None:
    recorder = Recorder(db, "demo")
    recorder.run("run-1")
    recorder.node("Evaluator", outputs=evaluator(tmp_path, 1))
    recorder.node("EdgeEvaluator", outputs=edge(tmp_path, 1))
    recorder.node("InfraValidator", outputs=infra(tmp_path, 0))
    assert read_outcome(db, "demo").reasons == ["problems 1; infra.originals allows at most 0"]
    (tmp_path / "infra" / FILE).unlink()
    outcome = read_outcome(db, "demo")
    assert not outcome.blessed
    assert outcome.reasons == [f"{tmp_path / 'infra' / FILE}: cannot be read (FileNotFoundError)"]


def test_a_refusal_without_a_readable_reason_is_still_a_refusal(db: Path, tmp_path: Path) -> None:
    recorder = Recorder(db, "demo")
    recorder.run("run-1")
    recorder.node("Evaluator", outputs=evaluator(tmp_path, 0))
    recorder.node("EdgeEvaluator", outputs=edge(tmp_path, 0))
    (tmp_path / "evaluation" / FILE).unlink()
    assert read_outcome(db, "demo").reasons == [
        f"{tmp_path / 'evaluation' / FILE}: cannot be read (FileNotFoundError)",
        "EdgeEvaluator gave no blessing",
    ]


def test_a_node_is_after_those_whose_outputs_it_read_also_from_the_cache(db: Path) -> None:
    recorder = Recorder(db, "demo")
    read = {"examples": ("ImageExampleGen", "examples")}
    for run, state in (("run-1", "COMPLETE"), ("run-2", "CACHED")):
        recorder.run(run)
        made = {"examples": ("Examples", "/examples/1", {})} if state == "COMPLETE" else None
        recorder.node("ImageExampleGen", state, outputs=made)
        recorder.node("Evaluator", outputs={"evaluation": ("ModelEvaluation", f"/{run}", {})}, inputs=read)
    recorder.node("ReleasePusher", inputs={**read, "model_evaluation": ("Evaluator", "evaluation")})
    nodes = {node.id: node.after for node in read_outcome(db, "demo").nodes}
    assert nodes["ImageExampleGen"] == () and nodes["Evaluator"] == ("ImageExampleGen",)
    assert sorted(nodes["ReleasePusher"]) == ["Evaluator", "ImageExampleGen"]
