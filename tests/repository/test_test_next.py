"""`make test-next`: what is tried on which Python, what the table says of it, and the exit code. Debian 13 is played.

`scripts/debian13.sh` is replaced by a program that writes down what it is asked to run and answers from a folder.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PLAYED = """\
#!/usr/bin/env bash
work=$1; shift
case "$*" in
  true) exit ;;
  bash*) [ -e "$PLAY/no-${!#}" ] && exit 1; echo "/python${!#}"; exit ;;
  *import*) printf '%s.7\\t1.21.0\\t2.21.0\\n' "${EDGETUNE_PYTHON#/python}"; exit ;;
esac
[ -d "$work/project/.git" ] && clone=clean || clone=none
ls "$work/project" | grep -q dirt && clone=dirty
echo "$EDGETUNE_PYTHON: $* ARGS=${ARGS:-} $clone" >>"$PLAY/asked"
git -C "$work/project" rev-parse HEAD >>"$PLAY/commits"
[ ! -e "$PLAY/goes-on" ] ||
  git -C "$(dirname "$0")" -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m "work goes on"
answer="$PLAY/${EDGETUNE_PYTHON#/python}-$2${ARGS:+-args}"
[ ! -e "$answer" ] || { cat "$answer"; exit 2; }
case "$2" in test) echo "===== 41 passed, 3 skipped in 7.25s ====="; esac
"""


class Next:
    """A repository with the script, and a Debian 13 that is played."""

    def __init__(self, folder: Path, script: Path) -> None:
        self.folder, self.play, self.cache = folder / "repository", folder / "play", folder / "cache"
        self.play.mkdir()
        (self.folder / "scripts").mkdir(parents=True)
        shutil.copy2(script, self.folder / "scripts")
        played = self.folder / "scripts" / "debian13.sh"
        played.write_text(PLAYED)
        played.chmod(0o755)
        for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
            identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
            subprocess.run(["git", *identity, *command], cwd=self.folder, check=True)

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        (self.play / "asked").unlink(missing_ok=True)
        (self.play / "tmp").mkdir(exist_ok=True)
        own = {"PLAY": str(self.play), "EDGETUNE_CACHE": str(self.cache), "TMPDIR": str(self.play / "tmp")}
        kept = {name: value for name, value in os.environ.items() if name not in ("ARGS", "ONLY", "STEPS")}
        script = self.folder / "scripts" / "test_next.sh"
        return subprocess.run([script], env={**kept, **own, **environment}, capture_output=True, text=True, check=False)

    @property
    def asked(self) -> list[str]:
        return (self.play / "asked").read_text().splitlines()


def rows(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """Return the table without its head; the fields are separated by two spaces or by the width of a column."""
    return [re.split(r" {2,}", line.strip()) for line in done.stdout.splitlines() if re.match(r"3\.\d+(\.\d+)? ", line)]


@pytest.fixture
def debian(tmp_path, root) -> Next:
    return Next(tmp_path, root / "scripts" / "test_next.sh")


def test_the_first_choice_is_tried_whole_and_the_others_to_the_end_of_a_run(debian):
    (debian.folder / "dirt").touch()
    done = debian.run()
    assert done.returncode == 0, done.stderr
    e2e = "make test ARGS=tests/e2e/test_runs.py clean"
    assert debian.asked == [
        "/python3.13: make setup ARGS= clean",
        "/python3.13: make run ARGS= clean",
        "/python3.13: make test ARGS= clean",
        "/python3.12: make setup ARGS= clean",
        f"/python3.12: {e2e}",
        "/python3.11: make setup ARGS= clean",
        f"/python3.11: {e2e}",
    ]
    assert "what is not committed is not tried" in done.stdout
    assert [row[:5] for row in rows(done)] == [
        ["3.13.7", "1.21.0", "2.21.0", "setup", "ok"],
        ["3.13.7", "1.21.0", "2.21.0", "run", "ok"],
        ["3.13.7", "1.21.0", "2.21.0", "test", "ok"],
        ["3.12.7", "1.21.0", "2.21.0", "setup", "ok"],
        ["3.12.7", "1.21.0", "2.21.0", "e2e", "ok"],
        ["3.11.7", "1.21.0", "2.21.0", "setup", "ok"],
        ["3.11.7", "1.21.0", "2.21.0", "e2e", "ok"],
    ]
    assert rows(done)[2][5:8] == ["41", "0", "3"]
    assert list((debian.play / "tmp").iterdir()) == []


def test_what_fails_is_in_the_table_and_the_rest_is_tried_all_the_same(debian):
    (debian.play / "3.13-run").write_text("edgetune: not blessed\nmake: *** [Makefile:17: run] Error 7\n")
    (debian.play / "3.13-test").write_text(
        "== 2 failed, 39 passed, 3 skipped, 1 error in 9.00s ==\nmake: *** Error 1\n"
    )
    done = debian.run(ONLY="3.13")
    assert done.returncode == 1
    _, run, test = rows(done)
    assert run[3:5] == ["run", "exit 7"] and len(run) == 6  # counts are for tests
    assert test[3:8] == ["test", "exit 1", "39", "3", "3"]
    assert "    edgetune: not blessed\n" in done.stdout


def test_a_python_that_cannot_be_had_is_a_failure_and_says_so(debian):
    (debian.play / "no-3.12").touch()
    done = debian.run()
    assert done.returncode == 1
    assert ["3.12", "-", "-", "setup", "not available"] in rows(done)
    assert "Python 3.12 is not available: not in Debian 13, under pyenv or through uv" in done.stdout
    assert "/python3.11: make setup ARGS= clean" in debian.asked
    assert not any(line.startswith("/python3.12") for line in debian.asked)


def test_without_an_environment_no_step_is_tried(debian):
    (debian.play / "3.12-setup").write_text("no compiler\n")
    done = debian.run(ONLY="3.12")
    assert done.returncode == 1 and debian.asked == ["/python3.12: make setup ARGS= clean"]
    assert [row[3:5] for row in rows(done)] == [["setup", "exit 2"]]


def test_pieces_can_be_chosen_and_the_table_keeps_the_others(debian):
    (debian.play / "3.11-test-args").write_text("== 1 failed in 1.00s ==\nmake: *** Error 1\n")
    assert debian.run(ONLY="3.11").returncode == 1
    done = debian.run(ONLY="3.13", STEPS="test image", ARGS="-k config")
    assert debian.asked[1:] == [
        "/python3.13: make test ARGS=-k config clean",
        "/python3.13: make image-check ARGS= clean",
    ]
    assert [row[3:5] for row in rows(done)] == [
        *(["setup", "ok"], ["test", "ok"], ["image", "ok"]),
        *(["setup", "ok"], ["e2e", "exit 1"]),
    ]
    assert done.returncode == 1  # the table holds a failure
    (debian.play / "3.11-test-args").unlink()
    assert debian.run(ONLY="3.11", STEPS="e2e").returncode == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ONLY": "3.10"}, "edgetune: ONLY=3.10: TFX 1.21 is for Python 3.13, 3.12 and 3.11.\n"),
        ({"STEPS": "run tests"}, "edgetune: STEPS=tests: the steps are run, test, e2e and image.\n"),
    ],
)
def test_what_is_no_python_or_no_step_is_refused_before_anything_is_made(debian, wrong, said):
    done = debian.run(**wrong)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    assert not debian.cache.exists()


# --- scripts/debian13.sh


@pytest.fixture
def machine(tmp_path, root):
    """Run debian13.sh on a machine with an engine of our choice, where `id` says that we are not root."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in ("bash", "mkdir", "chmod", "readlink", "cksum", "cut", "cat"):
        (programs / tool).symlink_to(shutil.which(tool) or tool)

    def program(name: str, body: str) -> None:
        (programs / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
        (programs / name).chmod(0o755)

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"PATH": str(programs), "HOME": str(tmp_path / "home"), "EDGETUNE_CACHE": str(tmp_path / "cache")}
        command = [root / "scripts" / "debian13.sh", *arguments]
        return subprocess.run(command, env={**own, **environment}, capture_output=True, text=True, check=False)

    program("id", "echo 1000")
    run.program, run.folder = program, tmp_path
    return run


def test_without_an_engine_and_without_root_it_says_what_to_do(machine):
    machine.program("docker", "exit 1")  # is there, and no engine answers
    done = machine(str(machine.folder / "work"), "true")
    assert done.returncode == 1
    assert done.stderr.startswith("edgetune: neither Docker nor Podman answers") and done.stderr.endswith("use sudo.\n")


def test_an_engine_that_answers_is_made_an_image_once_and_gets_the_command(machine):
    machine.program("docker", "exit 1")
    calls, made = machine.folder / "calls", machine.folder / "made"
    machine.program(
        "podman",
        f'case "$1" in image) [ -e {made} ]; exit ;; build) cat >{made} ;; esac\nprintf "%s\\n" "$*" >>{calls}',
    )
    pip = machine.folder / "home" / ".config" / "pip" / "pip.conf"
    pip.parent.mkdir(parents=True)
    pip.touch()
    work = machine.folder / "work"
    for _ in range(2):
        done = machine(str(work), "make", "run", https_proxy="http://proxy.example.org", SECRET="x", ARGS="--data a b")
        assert done.returncode == 0, done.stderr
    said = calls.read_text().splitlines()
    assert [call.split()[0] for call in said] == ["info", "build", "run", "info", "run"]
    assert (
        made.read_text().startswith("FROM docker.io/library/debian:trixie-slim\n") and "postgresql" in made.read_text()
    )
    assert said[-1].endswith(" make run") and f"--volume={work}/project:/project:rw" in said[-1]
    assert f"--volume={pip}:{pip}:ro" in said[-1]
    assert "https_proxy=http://proxy.example.org" in said[-1] and "ARGS=--data a b" in said[-1]
    assert "SECRET" not in said[-1]


def test_a_command_is_needed(machine):
    done = machine("work")
    assert (done.returncode, done.stderr) == (
        1,
        "edgetune: debian13.sh needs a folder and a command: debian13.sh WORK COMMAND...\n",
    )


def test_all_pythons_are_tried_at_one_commit_though_work_goes_on(debian):
    (debian.play / "goes-on").touch()
    assert debian.run().returncode == 0
    commits = (debian.play / "commits").read_text().split()
    assert len(commits) > 3 and len(set(commits)) == 1
