"""Building .venv: when it is built, what is said meanwhile, and what is left where it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# What stands for an interpreter: it makes environments that hold a copy of itself, and a uv that says what it is told.
PYTHON = """#!/usr/bin/env bash
case "$1 $2" in
  "-c import platform"*) echo python {version} ;;
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "{uv}" "$3/bin/uv" ;;
  "-V "*) echo Python {version} ;;
esac
"""
UV = """#!/usr/bin/env bash
if [ "$2" = sync ]; then source "{says}" >&2; fi
"""
SAID = """Using Python 3.13.5 environment at: .venv
Downloading tensorflow (599.8MiB)
Downloading numpy (15.6MiB)
   Building pyfarmhash==0.3.2
 Downloaded numpy
      Built pyfarmhash==0.3.2
 Downloaded tensorflow
Prepared 228 packages in 47.26s
warning: Failed to hardlink files
         If this is intentional, set `export UV_LINK_MODE=copy`
Installed 228 packages in 18.17s
Bytecode compiled 22185 files in 1m 37s
 + absl-py==1.4.0
 ~ numpy==2.4.6"""


class Project:
    """A tree with the script that builds the environment, and stand-ins for all that it calls."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.root = folder / "project"
        self.asked = folder / "asked"
        self.says = folder / "says"
        (self.root / "scripts").mkdir(parents=True)
        (self.root / "requirements").mkdir()
        (self.root / "setup.py").write_text("first")
        (self.root / "requirements" / "tfx121.txt").write_text("uv==1 --hash=sha256:0\n")
        shutil.copy(root / "scripts" / "setup_env.sh", self.root / "scripts")
        self.uv = self.program(folder / "uv", UV.format(says=self.says))
        self.python = self.interpreter(folder / "python", "3.13.5")
        self.stamp = self.root / ".venv" / ".edgetune"
        self.uv_says(SAID)
        self.finds(self.python)

    def program(self, path: Path, text: str) -> Path:
        path.write_text(text)
        path.chmod(0o755)
        return path

    def interpreter(self, path: Path, version: str) -> Path:
        return self.program(path, PYTHON.format(version=version, uv=self.uv))

    def uv_says(self, text: str, then: str = "") -> None:
        self.says.write_text(f"cat <<'SAID'\n{text}\nSAID\n{then}")

    def finds(self, python: Path | None) -> None:
        """Lets the search end with an interpreter, or with a message where there is none."""
        answer = "echo something is missing >&2; exit 1" if python is None else f"echo {python} tfx121"
        self.program(
            self.root / "scripts" / "find_python.sh",
            f'#!/usr/bin/env bash\necho "${{EDGETUNE_PYTHON:-}}" >>{self.asked}; {answer}\n',
        )

    def set_up(self, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if name != "EDGETUNE_PYTHON"} | environment
        script = self.root / "scripts" / "setup_env.sh"
        return subprocess.run([script], env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path, root):
    return Project(tmp_path, root)


def test_what_goes_on_is_said_with_the_time_at_which_each_step_ended(project):
    done = project.set_up()
    assert done.returncode == 0, done.stderr
    said = [line.removeprefix("edgetune set-up: ").split(" s  ") for line in done.stdout.splitlines()]
    assert all(len(parts) == 2 and parts[0].strip().isdigit() for parts in said)
    assert [parts[1] for parts in said] == [
        f"new environment in .venv, Python 3.13.5 ({project.python})",
        "installing what requirements/tfx121.txt lists (3 GB on the disk; 1 GB to download, the first time)",
        "building pyfarmhash==0.3.2",
        "downloaded 614 MiB: prepared 228 packages in 47.26s",
        "installed 228 packages in 18.17s",
        "bytecode compiled 22185 files in 1m 37s",
        "ready",
    ]
    assert done.stderr.splitlines() == [
        "warning: Failed to hardlink files",
        "         If this is intentional, set `export UV_LINK_MODE=copy`",
    ]
    assert project.stamp.is_file()


def test_during_a_long_step_it_is_said_how_far_it_is(project):
    text, rest = SAID.split(" Downloaded tensorflow")
    project.uv_says(text.rstrip(), f"sleep 2.5\ncat <<'SAID'\n Downloaded tensorflow{rest}\nSAID\n")
    done = project.set_up(EDGETUNE_PROGRESS_SECONDS="1")
    assert "s  downloaded 15 of 614 MiB\n" in done.stdout, done.stdout


def test_a_line_that_comes_in_pieces_is_one_line(project):
    project.uv_says("Downloading numpy (15.6MiB)", "printf 'Prepared 2 pack'; sleep 1.5; echo 'ages in 1s'\n")
    assert "prepared 2 packages in 1s\n" in project.set_up().stdout


def test_what_is_up_to_date_needs_no_interpreter_and_no_compiler(project):
    project.set_up()
    project.finds(None)
    project.asked.unlink()
    for named in ("", str(project.python)):
        done = project.set_up(EDGETUNE_PYTHON=named)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not project.asked.exists()


@pytest.mark.parametrize("changed", ["setup.py", "requirements/tfx121.txt"])
def test_an_environment_keeps_its_interpreter_where_what_it_holds_changes(project, changed):
    project.set_up()
    kept = project.root / ".venv" / "kept"
    kept.touch()
    (project.root / changed).write_text("uv==2 --hash=sha256:1\n")
    done = project.set_up()
    assert done.returncode == 0 and "new environment" not in done.stdout
    assert project.asked.read_text().splitlines() == ["", ".venv/bin/python"]
    assert kept.exists()


def test_another_interpreter_that_is_named_makes_another_environment(project, tmp_path):
    project.set_up()
    other = project.interpreter(tmp_path / "other", "3.12.9")
    project.finds(other)
    done = project.set_up(EDGETUNE_PYTHON=str(other))
    assert f"new environment in .venv, Python 3.12.9 ({other})" in done.stdout
    assert project.asked.read_text().splitlines() == ["", str(other)]


def test_where_something_is_missing_nothing_is_made(project):
    project.finds(None)
    done = project.set_up()
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "something is missing\n")
    assert not (project.root / ".venv").exists()


def test_a_set_up_that_failed_shows_why_and_is_started_afresh(project):
    project.uv_says("  × Failed to fetch numpy", "exit 1")
    done = project.set_up()
    assert done.returncode == 1 and not project.stamp.exists()
    assert done.stderr.splitlines() == [
        "  × Failed to fetch numpy",
        "edgetune: the packages of requirements/tfx121.txt could not be installed: see above.",
    ]
    project.uv_says(SAID)
    done = project.set_up()
    assert "removing a .venv that is incomplete" in done.stdout and project.stamp.is_file()


def test_an_environment_whose_removal_was_interrupted_is_not_taken_for_a_whole_one(project, tmp_path):
    project.set_up()
    other = project.interpreter(tmp_path / "other", "3.12.9")
    project.finds(other)
    (tmp_path / "bin").mkdir()
    project.program(
        tmp_path / "bin" / "rm", '#!/bin/sh\n[ "$1" = -rf ] && kill -KILL $PPID && exit\nexec /bin/rm "$@"\n'
    )
    done = project.set_up(EDGETUNE_PYTHON=str(other), PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert done.returncode < 0 and (project.root / ".venv").exists()
    assert not project.stamp.exists()
