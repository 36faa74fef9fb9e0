"""Rules of the whole tree: which room may import which, and what may not be committed."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from edgetune.modules.core import errors

FLOORS = ("modules", "components", "pipeline")
# What each room may import of the rooms of its own floor; the floors below are open to all.
ROOMS = {
    "modules": {
        "core": [],
        "storage": ["core"],
        "images": ["core"],
        "settings": ["core"],
        "contracts": ["core", "settings"],
        "data": ["core", "storage", "images", "settings"],
        "models": ["core", "storage", "settings"],
        "examples": ["core", "storage", "images", "contracts"],
        "serving": ["core", "storage", "images", "contracts"],
        "release": ["core", "storage", "contracts", "serving"],
        "litert": ["core", "contracts"],
        "training": ["core", "images", "settings", "contracts", "data", "examples", "models"],
        "conversion": ["core", "storage", "contracts", "litert"],
        "bundle": ["core", "storage", "images", "settings", "contracts", "litert"],
        "evaluation": [
            "core", "storage", "images", "settings", "contracts", "examples", "litert", "serving", "bundle",
        ],
    },
    "components": {
        "common": [],
        "resolvers": ["common"],
        "cross_validator": ["common"],
        "curated_schema": ["common"],
        "data_validation": ["common"],
        "dataset_gate": ["common"],
        "edge_describer": ["common"],
        "edge_evaluator": ["common"],
        "edge_exporter": ["common"],
        "evaluator": ["common"],
        "image_example_gen": ["common"],
        "infra_validator": ["common"],
        "label_reviewer": ["common"],
        "release_pusher": ["common"],
        "transform": ["common"],
        "two_phase_trainer": ["common"],
    },
    "pipeline": {
        "config": [],
        "beam": [],
        "terminal": [],
        "metadata": [],
        "dag": [],
        "submit": [],
        "demo": [],
        "client": ["demo"],
        "pipeline.py": ["config", "beam", "dag"],
        "report": ["config", "metadata", "terminal"],
        "preflight": [],
        "local": ["pipeline.py", "preflight", "beam", "metadata", "report", "terminal"],
        "kubeflow": ["pipeline.py", "config", "beam"],
        "history": ["local", "metadata", "report", "terminal"],
        "inspect": ["config", "report", "terminal"],
        "suggest": ["inspect", "report", "terminal"],
        "classify": ["inspect", "report", "terminal"],
        "doctor": ["beam", "metadata", "preflight", "report"],
        "api.py": ["classify", "config", "local", "terminal"],
        "commands": [
            "api.py", "classify", "config", "doctor", "history", "inspect", "local", "report", "kubeflow", "submit",
            "demo", "client", "suggest", "terminal",
        ],
        "cli.py": ["commands", "config", "local", "terminal"],
    },
}  # fmt: skip


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
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from edgetune.modules import core` names a room, `from edgetune.modules.core import errors` a module.
            names.update([module, *(f"{module}.{alias.name}" for alias in node.names)] if own(module) else [module])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                names.add(str(node.args[0].value))
    return names


def own(name: str) -> list[str]:
    """Return the parts of a dotted name below `edgetune`; none for a name of somebody else."""
    package, *parts = name.split(".")
    return parts if package == "edgetune" else []


def upward(root: Path) -> list[str]:
    """Return the imports of a higher floor, as `file imports name`."""
    found = []
    for height, floor in enumerate(FLOORS):
        for path in sorted((root / floor).rglob("*.py")):
            package = ".".join(("edgetune", *path.parent.relative_to(root).parts))
            for name in sorted(imported(path.read_text(encoding="utf-8"), package)):
                # The package itself is the Python API, on top of all floors.
                if name == "edgetune" or own(name)[:1] and own(name)[0] in FLOORS[height + 1 :]:
                    found.append(f"{path.relative_to(root)} imports {name}")
    return found


def arrows(root: Path, floor: str) -> dict[str, dict[str, str]]:
    """For each room of a floor the rooms of the same floor that it imports, each with a file that does.

    A file that lies on the floor itself is a room of its own, named with its ending; `__init__.py` is none.
    """
    found: dict[str, dict[str, str]] = {}
    for path in sorted((root / floor).rglob("*.py")):
        room = path.relative_to(root / floor).parts[0]
        if room == "__init__.py":
            continue
        package = ".".join(("edgetune", *path.parent.relative_to(root).parts))
        targets = found.setdefault(room, {})
        for name in imported(path.read_text(encoding="utf-8"), package):
            if own(name)[:1] == [floor] and len(own(name)) > 1:
                target = own(name)[1]
                target = target if (root / floor / target).is_dir() else f"{target}.py"
                if target != room:
                    targets[target] = str(path.relative_to(root))
    return found


def tracked(root: Path) -> list[Path]:
    """Return the files that git holds, or would hold if all were added."""
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
        ("modules/low.py", "from edgetune import pipeline"),
        ("modules/low.py", "import edgetune"),
        ("components/gate/executor.py", "def late():\n    from edgetune.pipeline.config.load import load"),
        ("components/gate/executor.py", "from ...pipeline.config import load"),
        ("components/gate/executor.py", "import importlib\nimportlib.import_module('edgetune.pipeline.cli')"),
    ],
)
def test_an_import_that_runs_upwards_would_be_seen(tmp_path, file, line):
    for floor in FLOORS:
        (tmp_path / floor).mkdir()
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    below = "from edgetune.modules.core import errors\nimport edgetune.components.common.artifacts as a\n"
    path.write_text(below if "components" in file else "import os\n")
    assert upward(tmp_path) == []
    path.write_text(line + "\n")
    assert upward(tmp_path) and all(found.startswith(f"{file} imports ") for found in upward(tmp_path))


@pytest.mark.parametrize("floor", FLOORS)
def test_rooms_import_only_what_the_table_allows(root, floor):
    seen = arrows(root, floor)
    assert set(seen) == set(ROOMS[floor])
    wrong = {
        f"{room} -> {target}: {file}"
        for room, targets in seen.items()
        for target, file in targets.items()
        if target not in ROOMS[floor][room]
    }
    assert wrong == set()
    # The table says what is, not what might be.
    unused = {f"{room} -> {target}" for room in seen for target in ROOMS[floor][room] if target not in seen[room]}
    assert unused == set()


@pytest.mark.parametrize("floor", FLOORS)
def test_rooms_have_no_circle(floor):
    order = list(graphlib.TopologicalSorter(ROOMS[floor]).static_order())  # raises CycleError
    assert set(order) == set(ROOMS[floor])


def test_an_arrow_that_is_not_in_the_table_would_be_seen(tmp_path):
    for file, line in {
        "modules/low/a.py": "def late():\n    from edgetune.modules.high.b import value\n",
        "modules/high/b.py": "from edgetune.modules import low\n",
        "modules/cli.py": "import edgetune.modules.low.a\n",
        "modules/__init__.py": "",
    }.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(line)
    files = {"low": {"high": "modules/low/a.py"}, "high": {"low": "modules/high/b.py"}}
    assert arrows(tmp_path, "modules") == {**files, "cli.py": {"low": "modules/cli.py"}}


def test_every_room_says_what_it_is_for(root):
    silent = []
    for floor in FLOORS:
        for path in [root / floor / "__init__.py", *sorted((root / floor).glob("*/**/__init__.py"))]:
            if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))):
                silent.append(str(path.relative_to(root)))
    assert silent == []


@pytest.mark.parametrize("floor", FLOORS)
def test_tests_mirror_the_rooms(root, floor):
    tests = root / "tests" / floor
    assert {path.name for path in tests.iterdir() if path.is_dir() and path.name != "__pycache__"} <= {
        path.name for path in (root / floor).iterdir() if path.is_dir()
    }
    assert {path.name for path in tests.glob("*.py")} <= {"test_api.py", "test_pipeline.py", "test_cli.py"}


def asks_for_a_version(source: str) -> list[str]:
    """Return what in a module depends on the version of Python or of a library: `line: code`."""
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


def test_every_error_is_drawn_in_the_tree(root):
    drawn = dict(re.findall(r"[├└]── (\w+) +(\d+) ", errors.__doc__ or ""))
    kinds = {kind.__name__: str(kind.exit_code) for kind in errors.EdgetuneError.__subclasses__()}
    assert drawn == kinds
    defined = {
        node.name
        for node in ast.walk(ast.parse((root / "modules" / "core" / "errors.py").read_text()))
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
    """Return the `install_requires` that setup.py hands to setuptools."""
    import setuptools

    kept: dict[str, list[str]] = {}
    original, setuptools.setup = setuptools.setup, lambda **arguments: kept.update(arguments)
    try:
        exec(compile((root / "setup.py").read_text(encoding="utf-8"), "setup.py", "exec"), {"__name__": "setup"})
    finally:
        setuptools.setup = original
    return kept["install_requires"]


# Dependencies of TFX and pydantic, at the versions that these ask for; a number of ours would only contradict it.
OF_TFX = {
    "absl-py", "apache-beam", "flatbuffers", "google-api-core", "google-auth", "google-cloud-aiplatform",
    "googleapis-common-protos", "grpcio", "h5py", "kfp-server-api", "markupsafe", "ml-metadata", "numpy",
    "packaging", "protobuf", "pyarrow", "pydantic-core", "requests", "tensorflow", "tensorflow-data-validation",
    "tensorflow-metadata", "tensorflow-model-analysis", "tensorflow-transform", "tfx-bsl", "urllib3",
}  # fmt: skip
NAMED = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
OPTIONAL = {"pillow-heif", "tensorflow-io"}  # HEIC, and S3: a message names them where they are missing


def test_every_library_that_the_code_imports_is_declared(root):
    utils, requirements = pytest.importorskip("packaging.utils"), pytest.importorskip("packaging.requirements")
    declared = {utils.canonicalize_name(requirements.Requirement(one).name) for one in setup_requirements(root)}
    owners = packages_distributions()
    missing = set()
    for floor in (*FLOORS, "edgetune", "weights"):
        for path in (root / floor).rglob("*.py"):
            if "templates" in path.parts:  # a project of its own, with requirements of its own
                continue
            for name in imported(path.read_text(encoding="utf-8"), "edgetune"):
                top = name.split(".")[0]
                if top in sys.stdlib_module_names or top in ("edgetune", "setuptools"):
                    continue
                # Python 3.10 does not find the distribution of a package without top_level.txt: then its name counts.
                found = {utils.canonicalize_name(owner) for owner in owners.get(top, (NAMED.get(top, top),))}
                if not found & (declared | OF_TFX | OPTIONAL):
                    missing.add(f"{path.relative_to(root)} imports {name}")
    assert missing == set()
