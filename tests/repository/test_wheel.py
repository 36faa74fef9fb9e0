"""What `pip install` brings: one package, complete, that lives beside a user's own modules/ and pipeline/."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgetune.modules.core.code_digest import code_digest
from tests.helpers.wheel import build_wheel, colliding_project, install, install_editable
from tests.repository.test_layout import FLOORS, tracked

TRAINER = "edgetune.components.two_phase_trainer.executor"


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(root, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(wheel, tmp_path_factory.mktemp("installed") / "site")


def python(site: Path, project: Path, *arguments: str) -> str:
    """Run Python in a user's project: the working directory comes first on the path, then the installed edgetune."""
    environment = {**os.environ, "PYTHONPATH": f"{project}{os.pathsep}{site}"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_has_one_package_with_every_file_of_the_code(root, wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0].split("-")[0] for name in names} == {"edgetune"}
    for path in tracked(root):
        inside = path.relative_to(root).as_posix()
        if inside.split("/")[0] in FLOORS and path.suffix in (".py", ".html", ".css", ".js", ".svg", ".json"):
            assert f"edgetune/{inside}" in names
    wanted = (
        "py.typed",
        "configs/demo.yaml",
        "schemas/config.json",
        "schemas/examples.pbtxt",
        "requirements/tfx121.txt",
    )
    assert {f"edgetune/{name}" for name in wanted} <= names
    assert any(name.endswith(".safetensors") for name in names)
    assert not any("__pycache__" in name or "/tests/" in name for name in names)


def test_it_works_beside_a_project_with_folders_of_the_same_names(site, tmp_path):
    project = colliding_project(tmp_path / "project")
    assert "Commands:" in python(site, project, "-m", "edgetune", "--help")
    code = "import edgetune; print(edgetune.__file__); print(edgetune.load_settings().name)"
    file, name = python(site, project, "-c", code).splitlines()
    assert (Path(file).parent, name) == (site / "edgetune", "demo")


def test_its_code_has_the_digest_of_the_checkouts(site, tmp_path):
    code = f"from edgetune.modules.core.code_digest import code_digest; print(code_digest({TRAINER!r}))"
    assert python(site, tmp_path, "-c", code).strip() == code_digest(TRAINER)


def test_an_editable_install_brings_no_name_but_edgetune(root, tmp_path):
    site = install_editable(root, tmp_path)
    program = f"""
import importlib.util, site
site.addsitedir({str(site)!r})
import edgetune.modules.core.package_paths as paths
names = ("edgetune", "modules", "components", "pipeline", "weights", "configs", "schemas", "tests")
print(*[name for name in names if importlib.util.find_spec(name)], paths.ROOT)
"""
    # Isolated and without this environment's own packages, among which may be another editable install.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.split() == ["edgetune", str(tmp_path / "source" / "edgetune")]
