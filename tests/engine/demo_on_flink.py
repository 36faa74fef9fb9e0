"""The whole demo on Flink through the command line; every artifact is compared with a run in one process.

    make engine-test

direct          the demo's pipeline over 600 digits, in one process
on_flink        the same on a local Flink cluster
judged_again    the model of the run on Flink, evaluated again in one process: each engine has its own order of the
                examples, and another order trains another model

Not part of `make test`: it takes ten minutes on two cores, mostly for importing TensorFlow in the cluster's new
workers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import standard_artifacts

from edgetune.components.evaluator import Evaluator
from edgetune.modules.data.digits import write_digits
from edgetune.modules.examples import shards
from edgetune.modules.settings.execution import BeamSettings
from edgetune.pipeline.beam.flags import beam_flags
from edgetune.pipeline.metadata.outcome import COMPLETE, Outcome, read_outcome
from tests.engine import compare
from tests.engine.cluster import ROOT, Cluster, Memory

EACH = 60
SETTINGS = (
    "training.head.epochs=2",
    "training.fine_tune.epochs=1",
    "training.baselines=[]",
    "evaluation.min_accuracy=0.5",
    "edge.max_accuracy_drop=0.2",
    "edge.min_agreement=0.5",
    "edge.max_class_drop=1",
)


class Machine:
    """A workdir and the settings of its runs."""

    def __init__(self, workdir: Path, data: Path, beam: dict[str, object]) -> None:
        self.workdir, self._data = workdir, data
        self._beam = [f"beam.{name}={json.dumps(value)}" for name, value in beam.items()]

    def run(self, *settings: str, on: str) -> Outcome:
        """Run the pipeline on the engine named `on`."""
        given = [
            part for setting in (*SETTINGS, *self._beam, f"beam.runner={on}", *settings) for part in ("--set", setting)
        ]
        command = [sys.executable, "-m", "edgetune.pipeline.cli", "run", "--config", "configs/demo.yaml", *given]
        command += ["--data", str(self._data), "--workdir", str(self.workdir)]
        print(f"\n{on}: {self.workdir}", flush=True)
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, timeout=3600)
        assert done.returncode == 0, f"exit code {done.returncode}; logs are in {self.workdir / 'logs'}"
        return read_outcome(self.workdir / "tfx_metadata" / "demo" / "metadata.db", "demo")


@pytest.fixture(scope="session")
def memory() -> Memory:
    """Return more memory, since Transform has more than 500 tasks."""
    return Memory()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    everything = write_digits(tmp_path_factory.mktemp("all") / "digits")
    folder = tmp_path_factory.mktemp("data")
    for digit in everything.iterdir():
        (folder / digit.name).mkdir()
        for path in sorted(digit.iterdir())[:EACH]:
            shutil.copy(path, folder / digit.name)
    return folder


@pytest.fixture(scope="module")
def machine(cluster: Cluster, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    described = cluster.settings.model_dump(mode="json", exclude_defaults=True, exclude={"runner"})
    return Machine(tmp_path_factory.mktemp("on_flink"), digits, described)


@pytest.fixture(scope="module")
def direct(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return Machine(tmp_path_factory.mktemp("direct"), digits, {}).run(on="direct")


@pytest.fixture(scope="module")
def on_flink(machine: Machine) -> Outcome:
    return machine.run(on="flink")


@pytest.fixture(scope="module")
def judged_again(on_flink: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an evaluation of the same model on the same examples."""
    folder = tmp_path_factory.mktemp("judged_again")
    made = on_flink.node("ImageExampleGen").artifact("examples"), on_flink.node("TwoPhaseTrainer").artifact("model")
    examples, model = standard_artifacts.Examples(), standard_artifacts.Model()
    for artifact, record in zip((examples, model), made, strict=True):
        artifact.uri = record.uri
    examples.split_names = made[0].properties["split_names"]
    examples.set_string_custom_property(shards.PROPERTY, made[0].custom_properties[shards.PROPERTY])
    outputs = {"evaluation": standard_artifacts.ModelEvaluation(), "blessing": standard_artifacts.ModelBlessing()}
    for name, artifact in outputs.items():
        artifact.uri = str(folder / name)
    context = BaseBeamExecutor.Context(beam_pipeline_args=beam_flags(BeamSettings()), tmp_dir=str(folder / "tmp"))
    executor = Evaluator.EXECUTOR_SPEC.executor_class(context)
    properties = dict(on_flink.node("Evaluator").properties)
    given = {"examples": [examples], "model": [model]}
    executor.Do(given, {name: [artifact] for name, artifact in outputs.items()}, properties)
    return folder / "evaluation"


def test_every_component_runs_on_flink_and_both_models_are_pushed(on_flink):
    assert {node.id for node in on_flink.nodes if node.state != COMPLETE} == set()
    assert on_flink.blessed
    assert [Path(place).parent.name for place in on_flink.pushed] == ["saved_model", "edge"]


def test_every_artifact_of_the_data_components_is_the_same(on_flink, direct):
    found = compare.outcomes(direct, on_flink)
    assert set(found) == set(compare.CHECKS)
    assert {name: differing for name, differing in found.items() if differing} == {}


def test_both_engines_measure_the_same_for_one_model(on_flink, judged_again):
    evaluation = on_flink.node("Evaluator").artifact("evaluation")
    assert compare.metrics(evaluation.uri, str(judged_again)) == []


def test_the_jobs_ran_on_the_cluster(cluster, on_flink):
    overview = cluster.overview()
    # At least one each for ImageExampleGen, StatisticsGen, DatasetGate, Transform and the Evaluator.
    assert overview["jobs-finished"] >= 5
    assert overview["jobs-failed"] == overview["jobs-cancelled"] == 0
