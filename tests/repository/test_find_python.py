"""Which interpreter and which lock a machine gets, or the one message that says what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="TFX has packages for Linux on x86_64 only"
)

COMPILED, WHEEL = "pyfarmhash==0.3.2 \\\n", "pyfarmhash==0.5.1 \\\n"
DEBIAN, UBUNTU_22, UBUNTU_24, MINT, FEDORA, ARCH = (
    "ID=debian\nVERSION_ID=13\n",
    'ID=ubuntu\nVERSION_ID="22.04"\nID_LIKE=debian\n',
    'ID=ubuntu\nVERSION_ID="24.04"\nID_LIKE=debian\n',
    'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22"\n',
    "ID=fedora\nVERSION_ID=42\n",
    "ID=arch\n",
)
SUDO = "sudo " if os.geteuid() else ""


class Machine:
    """A machine with interpreters, a C library and a distribution of our choice, seen by scripts/find_python.sh."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.script = folder / "project" / "scripts" / "find_python.sh"
        self.script.parent.mkdir(parents=True)
        shutil.copy(root / "scripts" / "find_python.sh", self.script)
        self.bin = folder / "bin"
        self.pyenv = folder / "pyenv"
        self.bin.mkdir()
        for tool in ("bash", "uname", "awk", "sort", "head", "cat", "grep", "dirname"):
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)
        self.program(self.bin / "g++", "exit 0")
        self.system(DEBIAN)
        self.lock("tfx116", COMPILED)
        self.lock("tfx121", WHEEL)
        self.glibc("2.36")

    def glibc(self, version: str) -> None:
        self.program(self.bin / "getconf", f"echo glibc {version}")

    def system(self, os_release: str) -> None:
        (self.folder / "os-release").write_text(os_release)

    def lock(self, name: str, text: str) -> None:
        path = self.script.parent.parent / "requirements" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def no_compiler(self) -> None:
        (self.bin / "g++").unlink()

    def python(self, path: Path, version: str, lacks: str = "-", says: str | None = None) -> Path:
        """Return an interpreter that answers the script's question as one at `path`, or where it `says`, would."""
        return self.program(path, f"cat >/dev/null; echo {version} {lacks} {says or path}")

    def uv(self, version: str, there: bool = False, refuses: bool = False) -> Path:
        """Return a uv that has Python `version`, or downloads it when it is asked for it, or cannot."""
        python = self.python(self.folder / "uv" / f"python{version}", version)
        installed = self.folder / "installed"
        if there:
            installed.touch()
        self.program(
            self.bin / "uv",
            "case $1$2 in --version) ;;"
            f" pythonfind) [ -e {installed} ] && [ ${{@: -1}} = {version} ] && echo {python} ;;"
            f" pythoninstall) [ $3 = {version} ] && {'false' if refuses else f': >{installed}'};; esac",
        )
        return python

    def program(self, path: Path, body: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # never through a link to a tool of this machine
        path.write_text(f"#!{shutil.which('bash')}\n{body}\n")
        path.chmod(0o755)
        return path

    def find(self, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": str(self.bin),
            "HOME": str(self.folder),
            "PYENV_ROOT": str(self.pyenv),
            "EDGETUNE_OS_RELEASE": str(self.folder / "os-release"),
            **environment,
        }
        return subprocess.run([self.script], env=env, capture_output=True, text=True, check=False)

    def answer(self, **environment: str) -> str:
        done = self.find(**environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def refusal(self, **environment: str) -> list[str]:
        """Return the lines of the message with which the search ends."""
        done = self.find(**environment)
        assert (done.returncode, done.stdout) == (1, ""), done
        return done.stderr.splitlines()


@pytest.fixture
def machine(tmp_path, root):
    return Machine(tmp_path, root)


# --- which interpreter, which lock


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


def test_the_newest_python_is_preferred_and_3_10_is_last(machine):
    machine.glibc("2.41")
    machine.uv("3.13", refuses=True)
    found = {
        version: machine.python(machine.pyenv / "versions" / f"{version}.1" / "bin" / "python", version)
        for version in ("3.10", "3.11", "3.12", "3.13")
    }
    for version in ("3.13", "3.12", "3.11"):
        done = machine.find()
        assert (done.stdout.strip(), done.stderr) == (f"{found[version]} tfx121", "")
        found[version].unlink()
    assert machine.answer() == f"{found['3.10']} tfx116"


def test_a_fallback_is_said_to_be_one_only_where_there_is_something_better(machine, root):
    machine.python(machine.bin / "python3.10", "3.10")
    assert machine.find().stderr == ""
    machine.glibc("2.39")
    machine.python(machine.bin / "python3.13", "3.13", "venv", "/usr/bin/python3.13")
    [said] = machine.find().stderr.splitlines()
    date = re.search(r"TFX 1.16, a fallback until (\d+ \w+ \d{4})\.", said)
    assert date and date[1] in (root / "README.md").read_text(encoding="utf-8")
    assert f"({SUDO}apt-get install python3.13-venv)" in said


def test_uv_is_asked_for_what_it_has_and_then_to_download(machine):
    python = machine.uv("3.10")
    done = machine.find()
    assert done.stdout.strip() == f"{python} tfx116"
    assert "asking uv" in done.stderr
    done = machine.find()
    assert (done.stdout.strip(), done.stderr) == (f"{python} tfx116", "")


def test_uv_is_asked_for_3_13_where_the_c_library_is_new_enough_rather_than_to_take_3_10(machine):
    machine.glibc("2.39")
    machine.python(machine.bin / "python3.10", "3.10")
    python = machine.uv("3.13")
    assert machine.answer() == f"{python} tfx121"


@pytest.mark.parametrize("there", [True, False])
def test_the_interpreter_that_uv_manages_is_taken_where_that_of_the_system_is_incomplete(machine, there):
    machine.glibc("2.39")
    machine.python(machine.bin / "python3.13", "3.13", "venv,headers")
    python = machine.uv("3.13", there)
    assert machine.answer() == f"{python} tfx121"


def test_a_complete_interpreter_is_taken_before_an_incomplete_one(machine):
    machine.glibc("2.39")
    machine.python(machine.bin / "python3.13", "3.13", "venv")
    python = machine.python(machine.pyenv / "versions" / "3.12.4" / "bin" / "python", "3.12")
    assert machine.answer() == f"{python} tfx121"


def test_nothing_but_the_venv_module_is_needed_where_nothing_is_compiled(machine):
    machine.glibc("2.39")
    machine.no_compiler()
    python = machine.python(machine.bin / "python3.13", "3.13", "headers")
    assert machine.answer() == f"{python} tfx121"
    machine.lock("tfx121", COMPILED)
    assert len(machine.refusal()) == 3


# --- one message for what is missing


@pytest.mark.parametrize(
    ("system", "glibc", "version", "lock", "install"),
    [
        (DEBIAN, "2.41", "3.13", "tfx121", "apt-get install python3.13-venv python3.13-dev g++"),
        (UBUNTU_22, "2.35", "3.10", "tfx116", "apt-get install python3.10-venv python3.10-dev g++"),
        (UBUNTU_24, "2.39", "3.12", "tfx121", "apt-get install python3.12-venv python3.12-dev g++"),
        (MINT, "2.39", "3.12", "tfx121", "apt-get install python3.12-venv python3.12-dev g++"),
        (FEDORA, "2.41", "3.13", "tfx121", "dnf install python3.13-libs python3.13-devel gcc-c++"),
    ],
)
def test_all_that_is_missing_is_one_message_with_one_line_that_installs_it(
    machine, system, glibc, version, lock, install
):
    machine.system(system)
    machine.glibc(glibc)
    machine.lock(lock, COMPILED)
    machine.no_compiler()
    machine.python(machine.bin / "python3", version, "venv,headers", f"/usr/bin/python{version}")
    cause, remedy, other = machine.refusal()
    assert cause == (
        f"edgetune: to build the environment, this is missing: the venv module of /usr/bin/python{version}; "
        f"the headers of /usr/bin/python{version}; a C++ compiler (pyfarmhash, which TFX needs, has no wheel)"
    )
    assert remedy == f"  remedy: {SUDO}{install}"
    newest = "3.10" if lock == "tfx116" else "3.13"
    assert other.startswith(f"      or: install uv (https://docs.astral.sh/uv/), which brings Python {newest} with its")
    assert ", and a C++ compiler alone" in other


@pytest.mark.parametrize(
    ("lacks", "compiler", "named", "packages"),
    [
        ("venv", True, "the venv module of /usr/bin/python3.10", "python3.10-venv"),
        ("headers", True, "the headers of /usr/bin/python3.10", "python3.10-dev"),
        ("-", False, "a C++ compiler (pyfarmhash, which TFX needs, has no wheel)", "g++"),
    ],
)
def test_one_thing_that_is_missing_is_named_alone(machine, lacks, compiler, named, packages):
    if not compiler:
        machine.no_compiler()
    machine.python(machine.bin / "python3.10", "3.10", lacks, "/usr/bin/python3.10")
    cause, remedy, *others = machine.refusal()
    assert cause.endswith(f"this is missing: {named}")
    assert remedy == f"  remedy: {SUDO}apt-get install {packages}"
    assert len(others) == (lacks != "-")
    assert not any("compiler" in line for line in others)


def test_an_interpreter_that_lacks_only_a_compiler_is_reported_rather_than_one_that_lacks_more(machine):
    machine.no_compiler()
    machine.python(machine.bin / "python3.10", "3.10", "venv,headers", "/usr/bin/python3.10")
    machine.python(machine.pyenv / "versions" / "3.10.13" / "bin" / "python", "3.10")
    cause, remedy = machine.refusal()
    assert "venv" not in cause and remedy == f"  remedy: {SUDO}apt-get install g++"


def test_where_uv_brings_the_rest_only_the_compiler_is_named_and_nothing_is_downloaded(machine):
    machine.no_compiler()
    machine.python(machine.bin / "python3.10", "3.10", "venv,headers", "/usr/bin/python3.10")
    machine.uv("3.10")
    cause, remedy = machine.refusal()
    assert "venv" not in cause and remedy == f"  remedy: {SUDO}apt-get install g++"
    assert not (machine.folder / "installed").exists()


def test_where_uv_fails_what_the_interpreter_of_the_system_lacks_is_named(machine):
    machine.glibc("2.39")
    machine.python(machine.bin / "python3.13", "3.13", "venv", "/usr/bin/python3.13")
    machine.uv("3.13", refuses=True)
    asked, _, remedy, other = machine.refusal()
    assert "asking uv" in asked
    assert remedy == f"  remedy: {SUDO}apt-get install python3.13-venv"
    assert other == "      or: name an interpreter that is elsewhere: EDGETUNE_PYTHON=/path/to/python"


def test_packages_are_no_remedy_for_an_interpreter_that_is_not_of_the_distribution(machine):
    machine.no_compiler()
    machine.python(machine.bin / "python3.10", "3.10", "headers")
    _, remedy, other = machine.refusal()
    assert remedy == f"  remedy: {SUDO}apt-get install g++"
    assert other.startswith("      and: install uv")
    machine.program(machine.bin / "g++", "exit 0")
    cause, remedy = machine.refusal()
    assert cause.endswith(f"the headers of {machine.bin}/python3.10")
    assert remedy.startswith("  remedy: install uv")


def test_on_a_distribution_that_is_not_known_no_command_is_made_up(machine):
    machine.system(ARCH)
    machine.python(machine.bin / "python3.10", "3.10", "headers", "/usr/bin/python3.10")
    assert machine.refusal()[1] == "  remedy: install it with your system's packages"


@pytest.mark.parametrize(
    ("system", "glibc", "install"),
    [
        (DEBIAN, "2.41", "apt-get install python3.13-venv"),
        (UBUNTU_24, "2.39", "apt-get install python3.12-venv"),
        (UBUNTU_22, "2.35", "apt-get install python3.10-venv python3.10-dev g++"),
        (FEDORA, "2.41", "dnf install python3.13"),
        (FEDORA, "2.38", None),  # no lock fits its Python
        (MINT, "2.39", None),  # which Python it has is not known here
    ],
)
def test_where_there_is_no_python_that_of_the_distribution_is_named(machine, system, glibc, install):
    machine.system(system)
    machine.glibc(glibc)
    if install is None or "g++" in install:
        machine.no_compiler()
    cause, remedy, *_ = machine.refusal()
    wanted = "Python 3.13, 3.12 or 3.11" if glibc >= "2.39" else "Python 3.10"
    assert f"this is missing: {wanted} (not on PATH, under pyenv or through uv)" in cause
    assert remedy == f"  remedy: {SUDO}{install}" if install else "python3" not in remedy


def test_where_nothing_fits_one_message_says_what_to_do(machine):
    machine.system("ID=debian\nVERSION_ID=12\n")
    machine.python(machine.bin / "python3", "3.9")
    machine.python(machine.bin / "python3.12", "3.12")
    machine.program(machine.bin / "uv", "exit 127")
    cause, remedy = machine.refusal()
    assert cause.endswith("this is missing: Python 3.10 (not on PATH, under pyenv or through uv)")
    assert remedy.startswith("  remedy: install uv (") and "brings Python 3.10 " in remedy
    assert remedy.endswith("(or `pyenv install 3.10`)")
    machine.glibc("2.39")
    (machine.bin / "python3.12").unlink()
    cause, remedy = machine.refusal()
    assert "Python 3.13, 3.12 or 3.11 (not" in cause and remedy.endswith("(or `pyenv install 3.13`)")


def test_a_named_interpreter_is_taken_or_refused(machine, tmp_path):
    machine.python(machine.bin / "python3.10", "3.10")
    named = machine.python(tmp_path / "my python", "3.10")
    assert machine.answer(EDGETUNE_PYTHON=str(named)) == f"{named} tfx116"
    named = machine.python(tmp_path / "other", "3.12")
    [said] = machine.refusal(EDGETUNE_PYTHON=str(named))
    assert said.startswith(f"edgetune: EDGETUNE_PYTHON={named} cannot be used")
    assert machine.find(EDGETUNE_PYTHON=str(tmp_path / "missing")).returncode == 1


def test_a_named_interpreter_that_is_incomplete_is_refused_with_the_same_message(machine, tmp_path):
    machine.python(machine.bin / "python3.10", "3.10")
    machine.no_compiler()
    named = machine.python(tmp_path / "named", "3.10", "venv,headers", "/usr/bin/python3.10")
    cause, remedy, _ = machine.refusal(EDGETUNE_PYTHON=str(named))
    assert "the venv module of /usr/bin/python3.10; the headers of /usr/bin/python3.10; a C++ compiler" in cause
    assert remedy == f"  remedy: {SUDO}apt-get install python3.10-venv python3.10-dev g++"


def test_a_machine_without_packages_of_tfx_is_shown_the_container(machine):
    machine.program(machine.bin / "uname", "[ $1 = -s ] && echo Darwin || echo arm64")
    [said] = machine.refusal()
    assert "this is Darwin arm64" in said and "docs/install.md has a command that runs it in a container" in said


@pytest.mark.parametrize(("answer", "said"), [("echo glibc 2.27", "glibc 2.27"), ("exit 1", "glibc missing")])
def test_a_c_library_that_tfx_has_no_packages_for_is_named(machine, answer, said):
    machine.python(machine.bin / "python3.10", "3.10")
    machine.uv("3.10")
    machine.program(machine.bin / "getconf", answer)
    [line] = machine.refusal()
    assert "glibc 2.28 or newer" in line and f"this is Linux x86_64 with {said}." in line


# --- with a real interpreter, and the real locks


def real(machine: Machine, python: Path | str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "EDGETUNE_PYTHON": str(python), "EDGETUNE_OS_RELEASE": str(machine.folder / "os-release")}
    return subprocess.run([machine.script], env=env, capture_output=True, text=True, check=False)


def test_an_environment_stands_for_the_interpreter_behind_it(machine):
    if sys.prefix == sys.base_prefix:
        pytest.skip("the tests do not run in a virtual environment")
    done = real(machine, sys.executable)
    assert done.stdout.startswith(sys.base_prefix + "/bin/python"), done.stderr


@pytest.mark.parametrize(
    ("patch", "missing"),
    [
        ("sys.modules['ensurepip'] = None", "the venv module of [^;]+"),
        ("sysconfig.get_path = lambda name: 'nowhere'", "the headers of [^;]+"),
        (
            "sys.modules['venv'] = None; sysconfig.get_path = lambda name: 'nowhere'",
            "the venv module of [^;]+; the headers of [^;]+",
        ),
    ],
)
def test_what_a_real_interpreter_lacks_is_seen(machine, tmp_path, patch, missing):
    (tmp_path / "sitecustomize.py").write_text(f"import sys, sysconfig; {patch}")
    wrapper = machine.program(tmp_path / "python", f'PYTHONPATH={tmp_path} exec {sys.executable} "$@"')
    for lock in ("tfx116", "tfx121"):
        machine.lock(lock, COMPILED)
    assert re.fullmatch(f".* this is missing: {missing}", real(machine, wrapper).stderr.splitlines()[0])
    (tmp_path / "sitecustomize.py").unlink()
    assert real(machine, wrapper).returncode == 0


def test_only_the_lock_of_tfx_1_16_has_something_to_compile(machine, root):
    for lock in ("tfx116", "tfx121"):
        shutil.copy(root / "requirements" / f"{lock}.txt", machine.script.parent.parent / "requirements")
    machine.glibc("2.39")
    machine.no_compiler()
    machine.python(machine.bin / "python3.10", "3.10", "headers")
    assert machine.find().returncode == 1
    machine.python(machine.bin / "python3.13", "3.13", "headers")
    assert machine.answer().endswith(" tfx121")
