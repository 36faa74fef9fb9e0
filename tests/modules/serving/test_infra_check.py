"""The process that a SavedModel is asked in: its bounds, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import tensorflow as tf

from edgetune.modules.contracts import signatures as names
from edgetune.modules.core import child_process
from edgetune.modules.serving import infra_check
from edgetune.modules.serving.infra_check import Bounds, Result
from edgetune.modules.serving.infra_probe import Request

TELL = 'print(\'edgetune: {"doing": "asking edge: transformed images", "problems": ["p"]}\', flush=True)\n'
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
    assert result.end == "did not end within 1 seconds (asking edge: transformed images)"
    assert 1 < result.seconds < 20
    assert result.findings.problems == ["p"]


def test_a_process_that_takes_too_much_memory_is_stopped(run):
    result = run("import time; taken = bytearray(b'x') * (200 << 20); time.sleep(60)", Bounds(60, 150 << 20))
    assert result.end == "took more than 150 MB of memory (asking edge: transformed images)"
    assert result.peak_memory > 150 << 20 and result.seconds < 50


@pytest.mark.parametrize(
    ("program", "end"),
    [
        ("import os; os.abort()", "ended with SIGABRT (asking edge: transformed images)"),
        (
            "import sys; sys.exit('no room')",
            "ended with exit code 1 (asking edge: transformed images): no room",
        ),
        ("pass", "ended with exit code 0 (asking edge: transformed images)"),
    ],
)
def test_a_process_that_ends_early_is_reported_with_what_it_did(run, program, end):
    assert run(program).end == end


def test_a_model_that_aborts_ends_only_the_process_that_asks_it(tmp_path):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, names.IMAGE_BYTES)])
    def deadly(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.raw_ops.Abort(error_msg="the end", exit_without_error=False)]):
            return {names.PROBABILITIES: tf.zeros([tf.size(image_bytes), 3])}

    tf.saved_model.save(module, str(tmp_path / "model"), signatures={names.SERVING: deadly})
    result = infra_check.check(Request(str(tmp_path / "model"), ["a", "b", "c"], []), GENEROUS)
    assert result.end.startswith("ended with SIGABRT (asking serving_default: broken images)")
    assert "has no signature edge" in result.findings.problems
    assert result.peak_memory > 100 << 20
