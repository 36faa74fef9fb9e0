"""Log capture: only the console writes to the terminal, nothing is lost, and everything is restored."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def run(script: str, tmp_path: Path) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run `script` in a child process with `log` as the path of the log, and return its result and the log's text."""
    log = tmp_path / "logs" / "run.log"
    prelude = (
        "import ctypes, io, logging, os, subprocess, sys, warnings\nfrom pathlib import Path\n"
        f"from edgetune.pipeline.terminal.log_capture import capture\nlog = Path({str(log)!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(script)],
        cwd=ROOT,
        env={
            name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"
        },  # it changes C's buffers too
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, log.read_text() if log.is_file() else ""


NOISE = """
        print("from print")
        print("from print to stderr", file=sys.stderr)
        os.write(1, b"from fd 1\\n")
        os.write(2, b"from fd 2\\n")
        subprocess.run([sys.executable, "-c", "import os; os.write(1, b'child 1\\\\n'); os.write(2, b'child 2\\\\n')"])
        subprocess.run("echo from the shell >&2", shell=True)
        warnings.warn("from warnings")
        ctypes.CDLL(None).printf(b"from libc\\n")
"""
HEARD = [
    "from print\n",
    "from print to stderr\n",
    "from fd 1\n",
    "from fd 2\n",
    "child 1\n",
    "child 2\n",
    "from the shell\n",
    "from warnings\n",
    "from libc\n",
]


def test_all_output_goes_to_the_log_and_only_the_stream_to_the_terminal(tmp_path: Path) -> None:
    done, log = run(
        f"""
    print("before")
    with capture(log, verbose=False) as terminal:
        terminal.write("to the terminal\\n")
{NOISE}
    print("after")
    os.write(2, b"after on fd 2\\n")
    """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "before\nto the terminal\nafter\n"
    assert done.stderr == "after on fd 2\n"
    for text in HEARD:
        assert text in log
    assert "to the terminal" not in log and "before" not in log and "after" not in log


def test_verbose_shows_the_log_on_stderr_completely(tmp_path: Path) -> None:
    done, log = run(
        f"""
    with capture(log, verbose=True) as terminal:
        terminal.write("to the terminal\\n")
{NOISE}
        for number in range(20_000):
            os.write(2, b"line %d\\n" % number)
    """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "to the terminal\n"
    assert done.stderr == log
    # The buffers of Python and C are flushed on exit.
    assert log.endswith("line 19999\nfrom print\nfrom libc\n") and log.count("\n") > 20_000


def test_a_second_capture_appends_and_shows_only_its_own_output(tmp_path: Path) -> None:
    done, log = run(
        """
    with capture(log, verbose=False):
        print("first")
    with capture(log, verbose=True):
        print("second")
    """,
        tmp_path,
    )
    assert log == "first\nsecond\n"
    assert done.stderr == "second\n"


def test_restored_after_an_exception(tmp_path: Path) -> None:
    done, log = run(
        """
    open_before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    try:
        with capture(log, verbose=True) as terminal:
            sys.stdout.write("no newline at the end")
            raise KeyError("inside")
    except KeyError as error:
        print("caught", error)
    assert terminal.closed
    open_after = set(os.listdir("/proc/self/fd")) if open_before else set()
    assert open_after == open_before, (open_before, open_after)
    """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "caught 'inside'\n"
    assert log == "no newline at the end"


def test_logging_handlers_work_before_inside_and_after(tmp_path: Path) -> None:
    done, log = run(
        """
    from absl import logging as absl_logging
    absl_logging.use_absl_handler()
    absl_logging.warning("absl before")
    early = logging.StreamHandler()
    logger = logging.getLogger("edge"); logger.propagate = False
    logger.addHandler(early)
    with capture(log, verbose=False):
        absl_logging.warning("absl inside")
        logger.warning("early handler")
        late = logging.StreamHandler(sys.stderr)
        logger.removeHandler(early); logger.addHandler(late)
        logger.warning("late handler")
    absl_logging.warning("absl after")
    logger.warning("late handler after")
    """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert [line in log for line in ("absl inside", "early handler", "late handler")] == [True, True, True]
    assert "after" not in log and "absl before" not in log
    assert "absl after" in done.stderr and "late handler after" in done.stderr and "inside" not in done.stderr


def test_a_host_that_replaced_the_streams_gets_them_back(tmp_path: Path) -> None:
    done, log = run(
        """
    notebook = io.StringIO()
    sys.stdout = notebook
    sys.stderr = None
    with capture(log, verbose=False) as terminal:
        print("into the log")
        handler = logging.StreamHandler(sys.stderr)
    assert sys.stdout is notebook and notebook.getvalue() == "" and sys.stderr is None
    handler.emit(logging.LogRecord("n", logging.WARNING, "f", 1, "kept handler", None, None))
    """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert log == "into the log\n"
    assert done.stderr == "kept handler\n"


def test_an_output_that_failed_ends_the_run_whatever_a_library_made_of_it(tmp_path):
    script = """
        from edgetune.pipeline.terminal.output import OutputError
        full = os.open("/dev/full", os.O_WRONLY)
        kept = os.dup(1)
        os.dup2(full, 1)
        try:
            with capture(log) as terminal:
                try:
                    print("progress", file=terminal)
                except OutputError:
                    raise RuntimeError("Beam, which wraps it")
        except OutputError as error:
            os.dup2(kept, 1)
            print("told:", error.cause)
    """
    done, _ = run(script, tmp_path)
    assert done.stdout == "told: standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (0, "")
