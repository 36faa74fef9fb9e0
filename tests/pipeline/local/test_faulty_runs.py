"""How a run ends that meets a fault of the machine or a signal: real processes, real signals, a disk that is full."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgetune.modules.core import child_process
from edgetune.modules.core.errors import AccessError, DatabaseError, MachineError, MemoryShortage, ProcessKilled
from edgetune.pipeline.local import supervisor
from tests.helpers.fork_server import ForkServer

AGAIN = "run the same command again: it resumes where this run ended"
REFUSED = 7  # the pipeline has no gate, so nothing is blessed: the run came to its end
_IMPORTED = (
    "tests.programs",
    "edgetune.components.curated_schema.component",
    "edgetune.pipeline.local.runner",
    "edgetune.pipeline.local.observed_runner",
    "edgetune.pipeline.local.aftermath",
    "edgetune.pipeline.pipeline",
    "edgetune.pipeline.report.report",
    "edgetune.pipeline.report.plots",
)


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer(_IMPORTED, child_process.environment()) as started:
        yield started


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for label in ("owl", "wren"):
        (folder / label).mkdir()
        for number in range(10):
            Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(folder / label / f"{number}.png")
    return folder


@dataclass
class Ended:
    code: int
    out: str
    error: str
    workdir: Path

    @property
    def report(self) -> str:
        [page] = self.workdir.glob("reports/birds/*/index.html")
        assert f"report     {page}" in self.out
        return page.read_text()

    @property
    def log(self) -> str:
        [log] = self.workdir.glob("logs/*.log")
        return log.read_text(errors="replace")


@pytest.fixture
def run(server: ForkServer, photos: Path, tmp_path: Path):
    def start(fault: str, workdir: Path | None = None, *arguments: str) -> Ended:
        workdir = workdir or tmp_path / "w"
        (tmp_path / "temporary").mkdir(exist_ok=True)
        done = subprocess.run(
            server.command("tests.programs.faulty_run", fault, str(workdir), str(photos), *arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**child_process.environment(), "TMPDIR": str(tmp_path / "temporary")},
            cwd=tmp_path,
        )
        return Ended(done.returncode, done.stdout, done.stderr, workdir)

    return start


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on a file system of 24 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "edgetune-test", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


# --- signals


@pytest.mark.parametrize(
    ("fault", "code", "by"),
    [("terminal", 130, "Ctrl-C"), ("terminate", 143, "SIGTERM"), ("hang_up", 129, "SIGHUP")],
)
def test_a_signal_ends_a_run_and_all_that_it_started_with_a_report(run, fault, code, by):
    ended = run(fault)
    assert (ended.code, ended.error) == (code, f"edgetune: interrupted by {by}\n  remedy: {AGAIN}\n")
    assert "CuratedSchema did not finish\n" in ended.out
    assert f"interrupted by {by}" in ended.report
    [child] = ended.workdir.rglob("child.pid")
    assert gone(int(child.read_text()))
    # Nothing is left where temporary files are.
    [named] = ended.workdir.rglob("schema/1/temporary")
    temporary = ended.workdir.parent / "temporary"
    assert temporary in Path(named.read_text()).parents and list(temporary.iterdir()) == []


def test_a_run_that_was_interrupted_resumes_in_the_same_workdir(run):
    assert run("interrupt").code == 130
    again = run("none")
    assert again.code == REFUSED, again.error
    assert len(list(again.workdir.glob("reports/birds/*/index.html"))) == 2
    assert "edgetune: removed 2 folders that a killed run left" in again.out
    [schema] = again.workdir.glob("tfx_pipeline_output/birds/CuratedSchema/schema/*")
    assert schema.name == "2"


def test_a_second_signal_ends_a_run_while_its_report_is_written(root):
    program = (
        "import time\n"
        "from edgetune.pipeline.local import supervisor\n"
        "def say(word):\n"
        "    print(word, flush=True)\n"
        "    while True:\n"  # a signal that comes just before one long sleep would be heard after it
        "        time.sleep(0.01)\n"
        "supervisor._report = lambda facts, error: say('reporting')\n"
        "supervisor.supervise(lambda: (supervisor.began(), say('working')))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root) as process:
        for said in ("working\n", "reporting\n"):
            assert process.stdout.readline() == said
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130


def test_a_second_signal_before_the_report_skips_it_and_nothing_less(root):
    program = (
        "import subprocess, time\n"
        "from edgetune.pipeline.local import supervisor\n"
        "end = supervisor._end_descendants\n"
        "def slowly(others):\n"
        "    print('ending', flush=True)\n"
        "    while not hurried:\n"
        "        time.sleep(0.01)\n"
        "    end(others)\n"
        "hurried = []\n"
        "register = supervisor.signal.signal\n"
        "def heard(number, handler):\n"
        "    def both(*given):\n"
        "        handler(*given)\n"
        "        if said: hurried.append(number)\n"
        "        said.append(number)\n"
        "    return register(number, both if callable(handler) else handler)\n"
        "said = []\n"
        "supervisor.signal.signal, supervisor._end_descendants = heard, slowly\n"
        "supervisor._report = lambda facts, error: print('reporting', flush=True)\n"
        "def work():\n"
        "    supervisor.began()\n"
        "    subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL)\n"
        "    print('working', flush=True)\n"
        "    time.sleep(60)\n"
        "print(supervisor.supervise(work).exit_code, supervisor._children())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root) as process:
        for said in ("working\n", "ending\n"):
            assert process.stdout.readline() == said
            process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "130 set()\n"


def test_children_that_are_older_than_the_run_are_left_alone(root):
    program = (
        "import subprocess\n"
        "from edgetune.pipeline.local import supervisor\n"
        "older = subprocess.Popen(['sleep', '60'])\n"
        "def work():\n"
        "    subprocess.Popen(['sleep', '60'])\n"
        "    return 7\n"
        "print(supervisor.supervise(work), older.poll(), supervisor._children() == {older.pid})\n"
        "older.kill()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "7 None True\n"


def test_a_run_dies_with_the_process_that_the_user_started(root):
    program = (
        "import os, time\n"
        "from edgetune.pipeline.local import supervisor\n"
        "supervisor.supervise(lambda: (print(os.getpid(), flush=True), time.sleep(60)))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root) as process:
        child = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
    assert select.select([child], [], [], 30)[0]
    os.close(child)


def test_a_run_that_the_system_kills_says_so_with_a_report(run):
    ended = run("killed")
    assert ended.code == ProcessKilled.exit_code
    assert ended.error.startswith("edgetune: the run was killed (SIGKILL), by somebody or by the system, for memory\n")
    assert "the run was killed (SIGKILL)" in ended.report


def test_a_crash_in_native_code_says_so_with_a_report(run):
    ended = run("crash")
    assert ended.code == ProcessKilled.exit_code
    assert ended.error.startswith("edgetune: the run ended with SIGABRT in the native code of a library\n  remedy: ")
    assert "ended with SIGABRT" in ended.report


def test_a_crash_for_lack_of_memory_says_so_with_a_report(run):
    ended = run("native_memory")
    assert ended.code == MemoryShortage.exit_code
    assert "memory ran out (LLVM ERROR: pthread_create failed: Resource temporarily unavailable)" in ended.error
    assert "memory ran out" in ended.report


def test_a_process_that_was_killed_for_memory_is_told_by_the_count_of_the_system(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "_KILLS", tmp_path / "vmstat")
    assert supervisor._kills() == 0
    (tmp_path / "vmstat").write_text("pgfault 7\noom_kill 3\n")
    assert supervisor._kills() == 3
    killed = supervisor._killed(9, for_memory=True, log="")
    assert isinstance(killed, MemoryShortage) and "most likely by the system" in killed.cause  # any other process was
    assert isinstance(supervisor._killed(9, for_memory=False, log="std::bad_alloc"), ProcessKilled)


# --- what the remedies promise


def test_a_run_after_the_database_was_moved_away_leaves_the_earlier_folders_alone(run, tmp_path):
    assert run("none").code == REFUSED
    database = tmp_path / "w" / "tfx_metadata" / "birds" / "metadata.db"
    database.write_bytes(database.read_bytes()[:10_000])
    damaged = run("none")
    assert damaged.code == DatabaseError.exit_code
    assert f"{database}: the records of the runs are damaged" in damaged.error and "move the file away" in damaged.error
    database.rename(tmp_path / "old.db")
    [earlier] = tmp_path.glob("w/tfx_pipeline_output/birds/CuratedSchema/schema/1/*")
    before = earlier.stat().st_mtime_ns
    again = run("none")
    assert again.code == REFUSED, again.error
    assert earlier.stat().st_mtime_ns == before
    assert len(list(earlier.parent.parent.iterdir())) == 2


# --- faults of the machine


@pytest.mark.parametrize("fault", ["full", "full_in_beam"])
def test_a_full_disk_is_one_sentence_with_its_code_and_a_report(run, small_disk, fault):
    ended = run(fault, small_disk / "w")
    assert ended.code == MachineError.exit_code, ended.error
    cause, remedy = ended.error.splitlines()
    assert cause.startswith("edgetune: ") and cause.endswith("disk is full") and "free space" in remedy
    assert "disk is full" in ended.report and "Traceback" in ended.log


def test_a_file_size_limit_is_one_sentence_with_its_code_and_a_report(run):
    ended = run("file_size")
    assert ended.code == MachineError.exit_code, ended.error
    cause, remedy = ended.error.splitlines()
    assert "larger than this process or the file system allows" in cause and "ulimit -f" in remedy
    assert "larger than this process" in ended.report


@pytest.mark.parametrize("fault", ["memory", "memory_in_beam"])
def test_too_little_memory_is_one_sentence_with_its_code_and_a_report(run, fault):
    ended = run(fault)
    assert ended.code == MemoryShortage.exit_code, ended.error
    cause, remedy = ended.error.splitlines()
    assert cause.startswith("edgetune: memory ran out (") and "8.00 GiB" in cause and "batch_size" in remedy
    assert "memory ran out" in ended.report


def test_a_file_that_may_not_be_read_is_one_sentence_with_its_code_and_a_report(run):
    ended = run("denied_in_beam")
    assert ended.code == AccessError.exit_code, ended.error
    cause, remedy = ended.error.splitlines()
    assert cause.endswith("/private: Permission denied") and "allow this user" in remedy
    assert "Permission denied" in ended.report


def test_a_defect_is_called_one_and_has_a_report(run):
    ended = run("defect")
    assert ended.code == 1
    assert ended.error.splitlines()[-1].startswith("edgetune: a defect, please report it: ZeroDivisionError: oh")
    assert "ZeroDivisionError: oh" in ended.report
