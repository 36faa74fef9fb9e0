"""No process that a test has started outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine import flink_files
from tests.engine.cluster import ROOT, Cluster
from tests.engine.processes import Processes

# A leader that ends at once on SIGTERM, and a child of it that does not.
STUBBORN = "(trap '' TERM; sleep 100) & sleep 100"


def gone(group: int) -> bool:
    """Return whether a process group ends within seconds."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.stop()


def test_stopping_also_ends_the_children_of_processes(processes):
    processes.start("one", ["sh", "-c", STUBBORN])
    processes.start("two", ["sleep", "100"])
    processes.check()
    groups = processes.groups
    assert set(groups) == {"one", "two"}
    processes.stop()
    assert [name for name, group in groups.items() if not gone(group)] == []


def test_a_process_that_ended_is_reported_with_the_end_of_its_log(processes, tmp_path):
    processes.start("one", ["sh", "-c", "echo no memory; exit 3"])
    end = time.monotonic() + 20
    with pytest.raises(RuntimeError, match="one ended with 3: .*one.log\nno memory"):
        while time.monotonic() < end:
            processes.check()


def test_processes_end_with_a_killed_test_run(tmp_path):
    program = "import sys, time; from pathlib import Path; from tests.engine.processes import Processes\n"
    program += f"p = Processes(Path({str(tmp_path)!r})); p.start('one', ['sleep', '100'])\n"
    program += "print(p.groups['one'], flush=True); time.sleep(100)"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        group = int(run.stdout.readline())
        run.send_signal(signal.SIGKILL)
    assert gone(group)


def test_a_cluster_that_fails_to_start_leaves_nothing_behind(tmp_path, monkeypatch):
    for name, value in (("java", "/bin/false"), ("class_path", "x.jar"), ("job_server_jar", tmp_path / "x.jar")):
        monkeypatch.setattr(flink_files, name, lambda value=value: value)
    cluster = Cluster(tmp_path / "flink")
    with pytest.raises(RuntimeError, match="(jobmanager|taskmanager) ended with 1"):
        cluster.__enter__()
    groups = cluster._processes.groups
    assert set(groups) == {"jobmanager", "taskmanager", "workers"}
    assert [name for name, group in groups.items() if not gone(group)] == []
