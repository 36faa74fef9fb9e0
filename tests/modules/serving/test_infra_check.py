"""The process that a SavedModel is asked in: its bounds, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from edgetune.modules.core import child_process
from edgetune.modules.serving import infra_check
from edgetune.modules.serving.infra_check import Bounds, Result
from edgetune.modules.serving.infra_probe import Request

DOING = "asking edge: transformed images"
TELL = f'print(\'edgetune: {{"doing": "{DOING}", "problems": ["p"]}}\', flush=True)\n'
GENEROUS = Bounds(seconds=120, memory=8 << 30)


@pytest.fixture
def run(monkeypatch):
    """Return a function that checks with a program in the place of the one that asks the model."""

    def checked(program: str, bounds: Bounds = GENEROUS) -> Result:
        def start(module: str, *arguments: str, **streams: Any) -> subprocess.Popen[Any]:
            return subprocess.Popen([sys.executable, "-c", TELL + program, *arguments], **streams)

        monkeypatch.setattr(child_process, "start", start)
        return infra_check.check(Request("nowhere", [], []), bounds)

    return checked


def test_a_process_that_hangs_is_stopped_and_what_it_did_is_said(run):
    result = run("while True: pass", Bounds(seconds=1, memory=8 << 30))
    assert 1 < result.seconds < 20
    assert (result.end, result.findings.doing, result.findings.problems) == ("", DOING, ["p"])


def test_a_process_that_takes_too_much_memory_is_stopped(run):
    result = run("import time; taken = bytearray(b'x') * (200 << 20); time.sleep(60)", Bounds(60, 150 << 20))
    assert result.peak_memory > 150 << 20 and result.seconds < 50
    assert (result.end, result.findings.doing) == ("", DOING)


@pytest.mark.parametrize(
    ("program", "end"),
    [
        ("import os; os.abort()", f"ended with SIGABRT while {DOING}"),
        (
            "import sys; sys.exit('no room')",
            f"ended with exit code 1 while {DOING}: no room",
        ),
        ("pass", f"ended with exit code 0 while {DOING}"),
    ],
)
def test_a_process_that_ends_early_is_reported_with_what_it_did(run, program, end):
    assert run(program).end == end
