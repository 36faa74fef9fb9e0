"""The environment with a GPU: the same packages and versions, the CUDA libraries that TensorFlow names, no more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from importlib.metadata import distribution
from pathlib import Path

import pytest

LOCKS = ("tfx116", "tfx121")


def locked(root: Path, lock: str) -> dict[str, str]:
    text = (root / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_of_the_gpu_holds_nothing_that_the_other_one_holds(root, lock):
    added = locked(root, f"{lock}-gpu")
    assert added and all(name.startswith("nvidia-") for name in added)
    assert added.keys().isdisjoint(locked(root, lock))  # so every version there is the other lock's


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_of_the_gpu_is_hashed(root, lock):
    text = (root / "requirements" / f"{lock}-gpu.txt").read_text(encoding="utf-8")
    packages = re.split(r"\n(?=\S)", text.strip())
    assert len(packages) == len(locked(root, f"{lock}-gpu"))
    assert [package for package in packages if "--hash=sha256:" not in package] == []
    assert "://" not in text


def test_it_holds_what_tensorflow_names_in_the_versions_that_it_wants(root):
    packaging = pytest.importorskip("packaging.requirements")
    tensorflow = distribution("tensorflow")
    [lock] = [lock for lock in LOCKS if locked(root, lock)["tensorflow"] == tensorflow.version]
    named = [packaging.Requirement(text) for text in tensorflow.requires or ()]
    extra = [r for r in named if r.marker and r.marker.evaluate({"extra": "and-cuda"}) and "and-cuda" in str(r.marker)]
    added = locked(root, f"{lock}-gpu")
    assert len(extra) > 5 and {r.name for r in extra} == added.keys()
    for requirement in extra:
        assert requirement.specifier.contains(added[requirement.name]), str(requirement)


# --- `make setup GPU=1`

PYTHON = """#!/bin/bash
# Stands for every program of an environment: makes one, and writes down what uv is told.
case "$*" in
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; cp "$0" "$3/bin/uv" ;;
  "pip sync "*) echo "$*" | grep -oE 'requirements/[a-z0-9-]+\\.txt' | tail -n +2 >>synced; echo -- >>synced ;;
  *platform*) echo python 3.10.0 ;;
esac
"""


class Checkout:
    """What the set-up needs of the repository, with an interpreter that only writes down."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "setup.py", "scripts/setup_env.sh", *(f"requirements/{lock}.txt" for lock in LOCKS)):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(root / name, folder / name)
        for lock in LOCKS:
            shutil.copy(root / "requirements" / f"{lock}-gpu.txt", folder / "requirements")
        python = folder / "python3.10"
        python.write_text(PYTHON)
        find = folder / "scripts" / "find_python.sh"
        find.write_text(f"#!/bin/bash\necho {python} tfx116\n")
        for program in (python, find):
            program.chmod(0o755)

    def make(self, *arguments: str) -> list[str]:
        """Return the names of the packages that were installed, one line for each installation."""
        (self.folder / "synced").unlink(missing_ok=True)
        done = subprocess.run(
            ["make", "setup", *arguments], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        written = (self.folder / "synced").read_text() if (self.folder / "synced").exists() else ""
        return [" ".join(part.split()) for part in written.split("--\n") if part]


@pytest.fixture
def checkout(root, tmp_path, monkeypatch) -> Checkout:
    monkeypatch.delenv("EDGETUNE_PYTHON", raising=False)  # whoever runs these tests may have named one
    if shutil.which("make") is None:
        pytest.skip("no make")
    return Checkout(root, tmp_path)


CPU, GPU = "requirements/tfx116.txt", "requirements/tfx116.txt requirements/tfx116-gpu.txt"


def test_the_choice_is_made_once_and_can_be_taken_back(checkout):
    assert checkout.make("GPU=1") == [GPU]
    assert checkout.make() == []
    assert checkout.make("GPU=1") == []
    assert checkout.make("GPU=0") == [CPU]
    assert checkout.make() == []
    assert checkout.make("GPU=1") == [GPU]


def test_the_choice_outlives_a_new_lock_and_another_interpreter(checkout):
    assert checkout.make("GPU=1") == [GPU]
    with (checkout.folder / "requirements" / "tfx116.txt").open("a") as lock:
        lock.write("# changed\n")
    os.utime(lock.name, (time.time() + 1,) * 2)  # newer than the stamp, however fast this is and coarse the clock
    assert checkout.make() == [GPU]
    python = checkout.folder / "python3.10"
    python.write_text(PYTHON.replace("3.10.0", "3.10.1"))
    assert checkout.make(f"EDGETUNE_PYTHON={python}") == [GPU]


def test_the_choice_outlives_a_set_up_that_fails(checkout):
    python = checkout.folder / "python3.10"
    python.write_text(PYTHON.replace("  *platform*", '  "pip install "*) exit 1 ;;\n  *platform*'))
    done = subprocess.run(["make", "setup", "GPU=1"], cwd=checkout.folder, capture_output=True, check=False)
    assert done.returncode != 0
    python.write_text(PYTHON)
    assert checkout.make() == [GPU]


def test_a_gpu_of_the_environment_is_not_the_choice(checkout, monkeypatch):
    monkeypatch.setenv("GPU", "1")
    assert checkout.make() == [CPU]
    monkeypatch.setenv("GPU", "3")
    assert checkout.make() == []


def test_without_the_choice_there_is_no_gpu(checkout):
    assert checkout.make() == [CPU]
    assert checkout.make("GPU=0") == []


def test_a_choice_that_is_none_is_an_error_that_says_so(checkout):
    done = subprocess.run(
        ["make", "setup", "GPU=yes"], cwd=checkout.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0 and "GPU=yes cannot be used: GPU=1 installs" in done.stderr
