"""Progress counter shared by several processes."""

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
    """Return the reported messages."""
    return []


def test_the_total_over_all_processes_is_reported(root, reports):
    with progress.listening(reports.append):
        with counting("images read") as count:
            count.add(100)
            program = "import pickle, sys; pickle.loads(bytes.fromhex(sys.argv[1])).add(1_100)"
            for _ in range(2):
                subprocess.run([sys.executable, "-c", program, pickle.dumps(count).hex()], cwd=root, check=True)
        # The context only ends when every count has been received.
        assert reports == ["100 images read", "1,200 images read", "2,300 images read"]


def test_counts_without_a_receiver_are_dropped(reports, tmp_path):
    with progress.listening(reports.append):
        with counting("images read") as count:
            pass
        count.add(100)
        SharedCount(str(tmp_path / "elsewhere")).add(100)
    assert reports == []


def test_a_full_queue_does_not_block_the_workers(reports):
    with progress.listening(lambda message: reports.append(message)), counting("images read") as count:
        for _ in range(10_000):
            count.add(1)
    assert 1 <= len(reports) <= 10_000


def test_a_temporary_path_too_long_for_a_socket_only_disables_progress(tmp_path, monkeypatch, reports):
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with progress.listening(reports.append), counting("images read") as count:
        count.add(100)
    assert reports == [] and list(Path(deep).iterdir()) == []
