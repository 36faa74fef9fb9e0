"""The result of a run says what would help where a gate refused the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetune.modules.core.errors import NotBlessed
from edgetune.pipeline.local.result import Run


def test_a_refusal_names_the_remedy_of_each_gate_that_refused_once():
    gates = [
        {"passed": False, "remedy": "add test images"},
        {"passed": False, "remedy": "add test images"},
        {"passed": False, "remedy": "lower evaluation.min_accuracy"},
        {"passed": True, "remedy": "nothing"},
        {"passed": None, "remedy": ""},
    ]
    run = Run("birds", "1", False, ("too bad",), (), Path("/r/index.html"), Path("/l"), {"gates": gates})
    with pytest.raises(NotBlessed) as caught:
        run.require_blessed()
    assert caught.value.remedy == (
        "nothing was pushed; add test images; lower evaluation.min_accuracy; /r/index.html shows the measurements"
    )
