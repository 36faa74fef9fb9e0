"""The hooks of .pre-commit-config.yaml: they download nothing, and call tools that the lock has."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def hooks() -> dict[str, Any]:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    return {hook["id"]: hook for hook in repositories[0]["hooks"]}


def test_hooks_call_tools_of_the_environment(root, hooks):
    assert {hook["language"] for hook in hooks.values()} == {"system"}
    programs = {shlex.split(hook["entry"])[0] for hook in hooks.values()}
    tools = {program.removeprefix(".venv/bin/") for program in programs if program.startswith(".venv/bin/")}
    assert programs - {f".venv/bin/{tool}" for tool in tools} == {"bash"} and tools == {"ruff", "mypy", "python"}
    for lock in ("tfx116", "tfx121"):
        text = (root / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
        assert {tool for tool in tools if re.search(rf"^{tool}==", text, re.MULTILINE)} == {"ruff", "mypy"}


def test_the_hook_for_shell_scripts_reads_every_script(hooks, tmp_path):
    good, bad = tmp_path / "good.sh", tmp_path / "bad.sh"
    good.write_text("if true; then echo; fi\n")
    bad.write_text("if true; then echo\n")
    command = shlex.split(hooks["shell-syntax"]["entry"])
    for scripts, code in (([good], 0), ([good, good], 0), ([bad, good], 1), ([good, bad], 1)):
        assert subprocess.run([*command, *scripts], check=False, capture_output=True).returncode == code
