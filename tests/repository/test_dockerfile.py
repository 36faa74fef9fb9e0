"""The Dockerfile: a linter's rules, and that it fits what the project is made of. `make image-check` carries it out."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import setuptools

from tests.clients.environments import Client, Unavailable, interpreter
from tests.helpers.dockerfile import Instruction, build_context, environment, instructions, python_version
from tests.programs import check_image

HADOLINT = Client("hadolint", ("3.10", "3.11", "3.12", "3.13"))


@pytest.fixture(scope="module")
def steps(root) -> list[Instruction]:
    return instructions((root / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hadolint() -> Path:
    try:
        return interpreter(HADOLINT).parent / "hadolint"
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_instructions_are_read_whole():
    text = "FROM a AS one\n# no\nRUN x \\\n  # no\n    && y\nFROM b\nCOPY --from=one /x y/\n"
    assert [(s.line, s.stage, s.keyword, s.text) for s in instructions(text)] == [
        (1, "one", "FROM", "a AS one"),
        (3, "one", "RUN", "x && y"),
        (6, "", "FROM", "b"),
        (7, "", "COPY", "--from=one /x y/"),
    ]
    assert instructions(text)[-1].flags == {"from": "one"} and instructions(text)[-1].words == ["/x", "y/"]


def test_hadolint_finds_nothing(root, hadolint):
    done = subprocess.run([hadolint, root / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_hadolint_would_find_something(root, hadolint, tmp_path):
    bad = tmp_path / "Dockerfile"
    text = (root / "Dockerfile").read_text().replace("USER 1000", "RUN apt-get install git\nUSER root")
    bad.write_text(text)
    done = subprocess.run([hadolint, bad], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and {"DL3015", "DL3002"} <= set(re.findall(r"DL\d+", done.stdout))


def test_it_runs_as_a_user_who_is_not_root_and_whom_kubernetes_can_tell(steps):
    assert [step.text for step in steps if step.keyword == "USER"] == ["1000"]
    after = [step.keyword for step in steps[[step.keyword for step in steps].index("USER") :]]
    assert set(after) == {"USER", "WORKDIR", "ENTRYPOINT", "CMD"}
    made = next(step.text for step in steps if "useradd" in step.text)
    assert "--uid 1000 " in made and f"--home-dir {environment(steps)['HOME']} " in made


def test_images_come_from_the_public_default_and_the_labels_are_right(root, steps):
    stages = {step.stage for step in steps}
    bases = [step.text.split()[0] for step in steps if step.keyword == "FROM"]
    foreign = {base for base in bases if base not in stages}
    [base] = foreign  # of an exact version, and of the Debian whose glibc the lock tfx121 is for
    assert re.fullmatch(r"python:3\.13\.\d+-slim-trixie", base) and python_version(steps) == "3.13"
    [label] = [step.text for step in steps if step.keyword == "LABEL"]
    assert all(f"docker.io/library/{base}" in label for base in foreign)
    assert f'image.version="{from_setup(root)["version"]}"' in label


def test_all_code_is_copied_and_is_in_the_build_context(root, steps):
    pytest.importorskip("docker")
    copied = {word for step in steps if step.keyword == "COPY" and not step.flags for word in step.words[:-1]}
    # `edgetune.modules` is a link in edgetune/ to the folder modules/.
    packages = {name.split(".")[1] if "." in name else name for name in from_setup(root)["packages"]}
    assert {"edgetune", "modules", "components", "pipeline"} < packages and packages <= {
        name.partition("/")[0] for name in copied
    }
    context = build_context(root)
    assert all((root / name).exists() and name in context for name in copied)
    for package in sorted(packages):
        for path in (root / package).rglob("*.py"):
            assert str(path.relative_to(root)) in context


def test_nothing_else_is_in_the_build_context(root, steps, tmp_path):
    pytest.importorskip("docker")
    copied = {word for step in steps if step.keyword == "COPY" and not step.flags for word in step.words[:-1]}
    tops = {name.partition("/")[0] for name in copied}
    (tmp_path / ".dockerignore").write_text((root / ".dockerignore").read_text())
    secret = [
        "key.json",
        ".venv/bin/python",
        "workdir/model",
        "tests/test_x.py",
        "requirements/tfx116.txt",
        ".git/config",
    ]
    noise = ["modules/__pycache__/x.cpython-310.pyc", "modules/y.pyc", "configs/flowers/roses/1.jpg", "weights/x.part"]
    for name in (*copied, *secret, *noise, "modules/z.py"):
        path = tmp_path / name if "." in name else tmp_path / name / "z.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    context = build_context(tmp_path)
    assert "modules/z.py" in context and context & {*secret, *noise} == set()
    # Docker's engine itself takes these two.
    files = {name for name in context if (tmp_path / name).is_file()} - {"Dockerfile", ".dockerignore"}
    assert {name.partition("/")[0] for name in files} == tops


def test_what_is_taken_out_of_the_image_is_what_setup_py_does_not_ask_for(root):
    script = (root / "scripts" / "install_in_image.sh").read_text(encoding="utf-8")
    taken_out = re.search(r"^tools=\((.*)\)$", script, re.MULTILINE)[1].split()
    names = re.findall(r"^([\w-]+)", (root / "requirements" / "tfx121.in").read_text(encoding="utf-8"), re.MULTILINE)
    asked = {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in from_setup(root)["install_requires"]}
    optional = {"pillow-heif"}  # phones write HEIC
    assert {name.lower() for name in names} - asked - optional == set(taken_out)


def test_the_image_is_tried_with_its_own_python_or_not_at_all(monkeypatch):
    monkeypatch.setattr("sys.version_info", (3, 10, 13))
    with pytest.raises(SystemExit) as stopped:
        check_image.main()
    assert str(stopped.value).startswith("the image has Python 3.13, and this environment 3.10: ")
    assert "`make test-next ONLY=3.13 STEPS=image`" in str(stopped.value)


def test_the_lock_in_the_image_is_the_one_for_its_python(root, steps):
    packaging = pytest.importorskip("packaging.requirements")
    script = (root / "scripts" / "install_in_image.sh").read_text(encoding="utf-8")
    lock = re.search(r"^lock=(.*)$", script, re.MULTILINE)[1]
    assert lock in {word for step in steps if step.keyword == "COPY" for word in step.words}
    tfx = re.search(r"^tfx==(\S+)", (root / lock).read_text(encoding="utf-8"), re.MULTILINE)[1]
    asked = map(packaging.Requirement, from_setup(root)["install_requires"])
    here = {"python_version": python_version(steps)}
    [wanted] = [one for one in asked if one.name == "tfx" and one.marker.evaluate(here)]
    assert wanted.specifier.contains(tfx)


def test_the_scripts_are_programs(root):
    script = root / "scripts" / "install_in_image.sh"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)


def from_setup(root: Path) -> dict[str, Any]:
    """Return what setup.py passes to setuptools."""
    kept: dict[str, Any] = {}
    original, setuptools.setup = setuptools.setup, lambda **arguments: kept.update(arguments)
    before = Path.cwd()
    os.chdir(root)  # where it looks for packages
    try:
        exec(compile((root / "setup.py").read_text(encoding="utf-8"), "setup.py", "exec"), {"__name__": "setup"})
    finally:
        setuptools.setup = original
        os.chdir(before)
    return kept
