"""The workflows of a public forge: they call what is there, on machines that the locks are for, and may only read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = Path(__file__).resolve().parents[2] / ".github" / "workflows"


@pytest.fixture(params=sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.stem)
def workflow(request) -> dict[str, Any]:
    return load(request.param)


@pytest.fixture
def steps(workflow) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_make_targets_that_are_called_exist(root):
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    called = {path.stem: set() for path in WORKFLOWS.glob("*.yml")}
    for path in WORKFLOWS.glob("*.yml"):
        for job in load(path)["jobs"].values():
            called[path.stem] |= {
                target for step in runs(job) for target in re.findall(r"\bmake ([a-z-]+)", step["run"])
            }
    assert called == {"test": {"setup", "run", "test", "lint"}, "package": {"docs"}}
    assert set.union(*called.values()) <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_nothing_may_be_written_and_nothing_runs_for_ever(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job and job["timeout-minutes"] <= 120


def test_actions_are_github_s_own_and_of_a_named_version(steps):
    used = [step["uses"] for step in steps if "uses" in step]
    assert (
        used and [action for action in used if not re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", action)] == []
    )


def test_every_python_is_run_and_both_generations_are_tested():
    [job] = load(WORKFLOWS / "test.yml")["jobs"].values()
    assert job["runs-on"] == "ubuntu-24.04"  # glibc 2.39
    matrix = {entry["python"]: entry["tests"] for entry in job["strategy"]["matrix"]["include"]}
    assert matrix == {"3.13": True, "3.12": False, "3.11": False, "3.10": True}
    named = [step for step in job["steps"] if "EDGETUNE_PYTHON" in step.get("env", {})]
    assert [step["run"] for step in named] == ["make setup"]
    conditions = {step["run"].split("\n")[-2 if "\n" in step["run"] else -1]: step.get("if") for step in runs(job)}
    assert conditions["make run"] is None and conditions["make test"] == "matrix.tests"


def test_the_wheel_is_built_and_installed_outside_of_the_checkout():
    job = load(WORKFLOWS / "package.yml")["jobs"]["wheel"]
    build, install = (step["run"] for step in runs(job))
    assert "pip wheel --no-deps" in build and "pip install --no-deps dist/edgetune-*.whl" in install
    # In the checkout, Python would import the folder edgetune/ and not what was installed.
    assert install.strip().splitlines()[-1].startswith("cd fresh && bin/python ")


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def runs(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for step in job["steps"] if "run" in step]
