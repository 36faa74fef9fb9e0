"""Counting what several processes have done together."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgetune.modules.core import progress
from edgetune.modules.core.worker_progress import SharedCount, counting


@pytest.fixture
def reports() -> list[str]:
    """What was reported."""
    return []


def test_the_sum_of_what_all_processes_add_is_reported(root, reports):
    with progress.listening(reports.append):
        with counting("images read") as count:
            count.add(100)
            program = "import pickle, sys; pickle.loads(bytes.fromhex(sys.argv[1])).add(1_100)"
            for _ in range(2):
                subprocess.run([sys.executable, "-c", program, pickle.dumps(count).hex()], cwd=root, check=True)
        # The context ends when everything has been heard.
        assert reports == ["100 images read", "1,200 images read", "2,300 images read"]


def test_what_is_added_where_nobody_listens_is_lost_without_harm(reports, tmp_path):
    with progress.listening(reports.append):
        with counting("images read") as count:
            pass
        count.add(100)
        SharedCount(str(tmp_path / "elsewhere")).add(100)
    assert reports == []


def test_more_at_once_than_anyone_can_hear_holds_nobody_up(reports):
    with progress.listening(lambda message: reports.append(message)), counting("images read") as count:
        for _ in range(10_000):
            count.add(1)
    assert 1 <= len(reports) <= 10_000


def test_a_temporary_folder_too_deep_for_a_socket_costs_the_progress_only(tmp_path, monkeypatch, reports):
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with progress.listening(reports.append), counting("images read") as count:
        count.add(100)
    assert reports == [] and list(Path(deep).iterdir()) == []
