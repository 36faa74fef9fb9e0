"""Which interpreter and which lock a machine gets, or the sentence that says what to do."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="TFX has packages for Linux on x86_64 only"
)


class Machine:
    """A machine with interpreters and a C library of our choice, seen by scripts/find_python.sh."""

    def __init__(self, folder: Path, script: Path) -> None:
        self.script = script
        self.bin = folder / "bin"
        self.pyenv = folder / "pyenv"
        self.bin.mkdir()
        for tool in ("bash", "uname", "awk", "sort", "head", "cat"):
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)
        self.glibc("2.36")

    def glibc(self, version: str) -> None:
        self.program(self.bin / "getconf", f"echo glibc {version}")

    def python(self, path: Path, version: str) -> Path:
        """An interpreter that answers the script's question as Python `version` at `path` would."""
        return self.program(path, f"cat >/dev/null; echo {version} {path}")

    def program(self, path: Path, body: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{shutil.which('bash')}\n{body}\n")
        path.chmod(0o755)
        return path

    def find(self, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": str(self.bin), "HOME": str(self.bin.parent), "PYENV_ROOT": str(self.pyenv), **environment}
        return subprocess.run([self.script], env=env, capture_output=True, text=True, check=False)

    def answer(self, **environment: str) -> str:
        done = self.find(**environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def machine(tmp_path, root):
    return Machine(tmp_path, root / "scripts" / "find_python.sh")


def test_python_3_10_on_path_gets_tfx_1_16(machine):
    python = machine.python(machine.bin / "python3.10", "3.10")
    assert machine.answer() == f"{python} tfx116"


def test_a_plain_python3_is_judged_by_its_version(machine):
    machine.python(machine.bin / "python3", "3.12")
    python = machine.python(machine.bin / "python", "3.10")
    assert machine.answer() == f"{python} tfx116"


def test_a_shim_that_cannot_run_is_passed_over_for_what_pyenv_holds(machine):
    machine.program(machine.bin / "python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")
    python = machine.python(machine.pyenv / "versions" / "3.10.13" / "bin" / "python", "3.10")
    assert machine.answer() == f"{python} tfx116"


def test_an_older_python_before_on_path_does_not_hide_a_later_one(machine, tmp_path):
    machine.program(machine.bin / "python3.10", "exit 1")
    python = machine.python(tmp_path / "second" / "python3.10", "3.10")
    assert machine.answer(PATH=f"{machine.bin}{os.pathsep}{python.parent}") == f"{python} tfx116"


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_newer_pythons_get_tfx_1_21_where_the_c_library_is_new_enough(machine, version):
    python = machine.python(machine.bin / f"python{version}", version)
    machine.glibc("2.38")
    assert machine.find().returncode == 1
    machine.glibc("2.39")
    assert machine.answer() == f"{python} tfx121"
    machine.glibc("2.100")
    assert machine.answer() == f"{python} tfx121"


def test_python_3_10_is_preferred(machine):
    machine.glibc("2.41")
    machine.python(machine.bin / "python3.13", "3.13")
    python = machine.python(machine.pyenv / "versions" / "3.10.1" / "bin" / "python", "3.10")
    assert machine.answer() == f"{python} tfx116"


def test_uv_is_asked_for_what_it_has_and_then_to_download(machine, tmp_path):
    python = machine.python(tmp_path / "uv" / "python3.10", "3.10")
    there = tmp_path / "installed"
    machine.program(
        machine.bin / "uv",
        f"case $1$2 in --version) ;; pythonfind) [ -e {there} ] && echo {python} ;; pythoninstall) : >{there} ;; esac",
    )
    done = machine.find()
    assert done.stdout.strip() == f"{python} tfx116"
    assert "asking uv" in done.stderr
    done = machine.find()
    assert (done.stdout.strip(), done.stderr) == (f"{python} tfx116", "")


def test_where_nothing_fits_one_sentence_says_what_to_do(machine):
    machine.python(machine.bin / "python3", "3.9")
    machine.python(machine.bin / "python3.12", "3.12")
    machine.program(machine.bin / "uv", "exit 127")
    done = machine.find()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("edgetune: Python 3.10 with its venv module is needed")
    assert "`uv python install 3.10`" in done.stderr
    assert done.stderr.count("\n") == 1
    machine.glibc("2.39")
    (machine.bin / "python3.12").unlink()
    assert "Python 3.10 (or 3.11 to 3.13) with its venv" in machine.find().stderr


def test_a_named_interpreter_is_taken_or_refused(machine, tmp_path):
    machine.python(machine.bin / "python3.10", "3.10")
    named = machine.python(tmp_path / "my python", "3.10")
    assert machine.answer(EDGETUNE_PYTHON=str(named)) == f"{named} tfx116"
    named = machine.python(tmp_path / "other", "3.12")
    done = machine.find(EDGETUNE_PYTHON=str(named))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"edgetune: EDGETUNE_PYTHON={named} cannot be used")
    assert machine.find(EDGETUNE_PYTHON=str(tmp_path / "missing")).returncode == 1


def test_an_environment_stands_for_the_interpreter_behind_it(machine, root):
    if sys.prefix == sys.base_prefix:
        pytest.skip("the tests do not run in a virtual environment")
    machine.glibc("2.39")
    done = subprocess.run(
        [machine.script],
        env={**os.environ, "EDGETUNE_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith(sys.base_prefix + "/bin/python"), done.stderr
