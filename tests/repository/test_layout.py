"""Rules of the whole tree: who may import whom, how long a file may be, what may not be committed."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from edgetune.modules.core import errors

FLOORS = ("modules", "components", "pipeline")
LINES = 250


def imported(source: str, package: str) -> set[str]:
    """Dotted names that a module imports anywhere, also inside functions; relative ones made absolute.

    Args:
        source: The module's source.
        package: Dotted name of the package that the module is in.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            names.add(".".join([*base, *([node.module] if node.module else [])]))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                names.add(str(node.args[0].value))
    return names


def upward(root: Path) -> list[str]:
    """Imports of a higher floor, as `file imports name`."""
    found = []
    for height, floor in enumerate(FLOORS):
        for path in sorted((root / floor).rglob("*.py")):
            package = ".".join(path.parent.relative_to(root).parts)
            for name in sorted(imported(path.read_text(encoding="utf-8"), package)):
                if name.split(".")[0] in FLOORS[height + 1 :]:
                    found.append(f"{path.relative_to(root)} imports {name}")
    return found


def tracked(root: Path) -> list[Path]:
    """The files that git holds, or would hold if all were added."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git work tree: what is committed cannot be told")
    paths = (root / name for name in sorted(set(listed.stdout.decode().split("\0"))) if name)
    return [path for path in paths if path.is_file()]


def test_no_import_runs_upwards(root):
    assert upward(root) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("modules/low.py", "import edgetune.components.common.artifacts"),
        ("modules/low.py", "from pipeline import config"),
        (
            "components/gate/executor.py",
            "def late():\n    from edgetune.pipeline.config.load import load\n    return load",
        ),
        ("components/gate/executor.py", "from ...pipeline.config import load"),
        ("components/gate/executor.py", "import importlib\nimportlib.import_module('edgetune.pipeline.cli')"),
    ],
)
def test_an_import_that_runs_upwards_would_be_seen(tmp_path, file, line):
    for floor in FLOORS:
        (tmp_path / floor).mkdir()
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "from modules import errors\nimport edgetune.components.common.artifacts as a\n"
        if "comp" in file
        else "import os\n"
    )
    assert upward(tmp_path) == []
    path.write_text(line + "\n")
    [found] = upward(tmp_path)
    assert found.startswith(f"{file} imports ")


def asks_for_a_version(source: str) -> list[str]:
    """What in a module depends on the version of Python or of a library: `line: code`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        text = ast.unparse(node) if isinstance(node, ast.expr) else ""
        compared = isinstance(node, ast.Compare) and re.search(r"__version__|\bversion\(|python_version", text)
        # What a library has, and not what this system has or what an object of our own has.
        probed = re.match(r"hasattr\((?!os\b|artifacts\b)", text)
        if text == "sys.version_info" or compared or probed:
            found.append(f"{node.lineno}: {text}")
    return found


def test_what_differs_between_generations_is_in_one_place(root):
    places = {"modules/core/generation.py"}
    found = {}
    for floor in (*FLOORS, "weights", "benchmarks"):
        for path in sorted((root / floor).rglob("*.py")):
            if asks := asks_for_a_version(path.read_text(encoding="utf-8")):
                found[str(path.relative_to(root))] = asks
    assert {path: asks for path, asks in found.items() if path not in places} == {}
    assert places <= set(found)


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nif sys.version_info >= (3, 11):\n    pass",
        "new = tf.__version__ > '2.17'",
        "new = Version(tf.__version__) > Version('2.17')",
        "new = metadata.version('tfx').startswith('1.21') == True",
        "if hasattr(tfx.components, 'BulkInferrer'):\n    pass",
    ],
)
def test_a_branch_on_a_version_would_be_seen(code):
    assert asks_for_a_version(code)


def test_the_converter_has_one_seam_and_the_interpreter_of_tensorflow_is_not_used(root):
    # Built from parts, or this file would name it. An app that nobody updates has its own interpreter.
    named = re.compile(r"\btf\." + r"lite\b|tensorflow\." + r"lite\b|from tensorflow import .*\blite\b")
    found = {
        str(path.relative_to(root))
        for path in tracked(root)
        if path.suffix == ".py" and named.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"modules/conversion/converter.py"}


def test_modules_is_flat(root):
    assert [path for path in (root / "modules").iterdir() if path.is_dir() and path.name != "__pycache__"] == []


def test_files_of_the_floors_are_short(root):
    lengths = {
        str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines())
        for floor in FLOORS
        for path in (root / floor).rglob("*.py")
    }
    assert len(lengths) > len(FLOORS)
    assert {path: length for path, length in lengths.items() if length > LINES} == {}


def test_every_error_is_drawn_in_the_tree(root):
    drawn = dict(re.findall(r"[├└]── (\w+) +(\d+) ", errors.__doc__ or ""))
    kinds = {kind.__name__: str(kind.exit_code) for kind in errors.EdgetuneError.__subclasses__()}
    assert drawn == kinds
    defined = {
        node.name
        for node in ast.walk(ast.parse((root / "modules" / "errors.py").read_text()))
        if isinstance(node, ast.ClassDef)
    }
    assert defined == {"EdgetuneError", *kinds}


def test_no_file_names_a_path_of_somebodys_machine(root):
    # Built from parts, or this file would name them.
    homes = re.compile(r"(?<![\w./])/(?:" + "|".join(("work", "root", "home", "Users", "opt")) + r")/\w")
    found = []
    for path in tracked(root):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(root)}:{n}" for n, line in enumerate(lines, start=1) if homes.search(line)]
    assert found == []


def test_locks_are_hashed_and_name_no_host(root):
    for lock in ("tfx116", "tfx121"):
        text = (root / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
        packages = re.split(r"\n(?=\S)", text.strip())
        assert len(packages) > 100
        assert [package for package in packages if "--hash=sha256:" not in package] == []
        assert "://" not in text
        assert "--find-links" not in text
        assert "index-url" not in text


@pytest.mark.parametrize(("lock", "python"), [("tfx116", "3.10"), ("tfx121", "3.12")])
def test_locks_hold_what_setup_py_asks_for(root, lock, python):
    packaging = pytest.importorskip("packaging.requirements")
    utils = pytest.importorskip("packaging.utils")
    text = (root / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    locked = {
        utils.canonicalize_name(name): version
        for name, version in re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", text, re.MULTILINE)
    }
    asked = [packaging.Requirement(text) for text in setup_requirements(root)]
    wanted = [r for r in asked if r.marker is None or r.marker.evaluate({"python_version": python})]
    assert len(wanted) > 10
    for requirement in wanted:
        assert requirement.specifier.contains(locked[utils.canonicalize_name(requirement.name)]), str(requirement)


def setup_requirements(root: Path) -> list[str]:
    """The `install_requires` that setup.py hands to setuptools."""
    import setuptools

    kept: dict[str, list[str]] = {}
    original, setuptools.setup = setuptools.setup, lambda **arguments: kept.update(arguments)
    try:
        exec(compile((root / "setup.py").read_text(encoding="utf-8"), "setup.py", "exec"), {"__name__": "setup"})
    finally:
        setuptools.setup = original
    return kept["install_requires"]
