"""`edgetune compile`: what it writes, and what a user reads when something is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import get_args
from unittest import mock

import pytest

from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline import cli
from edgetune.pipeline.commands.compile import Target
from edgetune.pipeline.kubeflow.kfp_package import check_kfp

PLACE = ["--image", "registry.example.com/edgetune:1", "--pipeline-root", "gs://bucket/root"]


def test_the_demo_is_compiled_with_the_options_of_the_command(tmp_path, capsys):
    pytest.importorskip("kfp")
    output = tmp_path / "demo.json"
    arguments = ["compile", "--target", "vertex", "-o", str(output), *PLACE, "--set", "training.head.epochs=3"]
    assert cli.main(arguments) == 0
    job = json.loads(output.read_text())
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root/demo"
    parameters = job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    assert parameters["training_head_epochs"]["defaultValue"] == 3
    assert parameters["data_path"]["defaultValue"] == "embedded:digits"
    trainer = job["pipelineSpec"]["deploymentSpec"]["executors"]["TwoPhaseTrainer_executor"]["container"]
    assert trainer["image"] == "registry.example.com/edgetune:1"
    weights = job["pipelineSpec"]["root"]["dag"]["tasks"]["TwoPhaseTrainer"]["inputs"]["parameters"]["model_weights"]
    assert weights["runtimeValue"]["constant"].startswith("edgetune:weights/")
    assert "demo for vertex, with the parameters data_path, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (PLACE[2:], "no container image given"),
        (PLACE[:2], "no pipeline root given"),
        ([*PLACE, "--set", "platform.resources.TwoPhaseTrainer.accelerator=NVIDIA_T5"], "must be one of NVIDIA_"),
        ([*PLACE, "--set", "platform.resources.TwoPhaseTrainer.cpu=200"], "above 0 and at most 96"),
        ([*PLACE, "--set", "platform.resources.Trainer.cpu=2"], "unknown key platform.resources.Trainer"),
        ([*PLACE, "--set", "name=my_digits"], "name my_digits: platforms allow"),
        ([*PLACE, "-o", "/"], "-o /: is a folder"),
        ([*PLACE, "-o", "/nowhere/pipeline.json"], "there is no folder /nowhere"),
    ],
)
def test_what_is_wrong_is_one_error_before_anything_is_compiled(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Whatever is found wrong here is found without TFX, whose import takes many seconds.
    monkeypatch.setitem(sys.modules, "edgetune.pipeline.kubeflow.compiler", None)
    assert cli.main(["compile", "--target", "kubeflow", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["compile", "--target", "vertex", *PLACE],
        ["submit", "pipeline.json", "--endpoint", "https://kubeflow.example.org"],
    ],
)
def test_kfp_that_is_missing_is_one_error(arguments, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "kfp", None)
    assert cli.main(arguments) == 2
    cause = f"edgetune {arguments[0]} needs the package kfp, which is not installed"
    assert f"{cause}\n  remedy: run `python -m pip install" in capsys.readouterr().err


def test_the_remedy_for_kfp_fits_what_setup_py_asks_for(root):
    requirements = pytest.importorskip("packaging.requirements")
    with pytest.raises(ConfigError) as caught, mock.patch.dict(sys.modules, {"kfp": None}):
        check_kfp("compile")
    allowed = requirements.Requirement(caught.value.remedy.split('"')[1]).specifier
    for lock in ("tfx116", "tfx121"):
        [version] = re.findall(r"^kfp==([^\s;]+)", (root / "requirements" / f"{lock}.txt").read_text(), re.MULTILINE)
        assert allowed.contains(version)


def test_an_unknown_target_names_those_there_are(capsys):
    assert cli.main(["compile", "--target", "airflow", *PLACE]) == 2
    said = capsys.readouterr().err
    assert all(target in said for target in ("airflow", *get_args(Target)))


def test_the_help_needs_nothing_heavy(root):
    code = "import sys; from edgetune.pipeline.cli import main; main(['--help']); "
    code += "print([m for m in sys.modules if m in HEAVY])"
    heavy = ("tensorflow", "tfx", "kfp", "pydantic", "numpy", "google.protobuf")
    done = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {heavy!r}; {code}"], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_is_compiled_arrives_where_it_is_submitted(tmp_path, monkeypatch):
    pytest.importorskip("kfp")
    from edgetune.pipeline.submit.specification import read
    from tests.fakes.platforms import Kubeflow, serving

    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    files = {target: tmp_path / f"{target}.json" for target in get_args(Target)}
    for target, path in files.items():
        assert cli.main(["compile", "--target", target, "-o", str(path), *PLACE]) == 0
    assert read(files["vertex"]).vertex_only == ["ImageExampleGen"]
    with serving(Kubeflow()) as stub:
        submit = ["submit", "--endpoint", stub.url, "--set", "training.head.epochs=3"]
        assert cli.main([*submit, str(files["vertex"])]) == 2
        assert cli.main([*submit, str(files["kubeflow"])]) == 0
    [body] = stub.created
    assert body["pipeline_spec"] == json.loads(files["kubeflow"].read_text())["pipelineSpec"]
    assert body["runtime_config"] == {
        "parameters": {"training_head_epochs": 3},
        "pipeline_root": "gs://bucket/root/demo",
    }
