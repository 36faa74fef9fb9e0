"""The digest of a component's code: what changes it, and what does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgetune.modules.core import code_digest as module
from edgetune.modules.core.code_digest import closure, code_digest

COMPONENT = "components.gate.executor"
TREE = {
    "modules/__init__.py": "",
    "modules/direct.py": "import json\nfrom modules.indirect import value\n",
    "modules/indirect.py": "value = 1\n",
    "modules/late.py": "",
    "modules/typing_only.py": "",
    "modules/unrelated.py": "from modules import direct\n",
    "components/gate/__init__.py": "from components.gate.executor import run\n",
    "components/gate/executor.py": (
        "from __future__ import annotations\n"
        "import numpy as np\n"
        "from typing import TYPE_CHECKING\n"
        "from modules import direct\n"
        "if TYPE_CHECKING:\n"
        "    import modules.typing_only\n"
        "def run():\n"
        "    from modules.late import value\n"
    ),
    "pipeline/cli.py": "import components.gate.executor\n",
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    code_digest.cache_clear()
    yield tmp_path
    code_digest.cache_clear()


def digest() -> str:
    code_digest.cache_clear()
    return code_digest(COMPONENT)


def edit(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "components/gate/executor.py",
        "modules/__init__.py",
        "modules/direct.py",
        "modules/indirect.py",
        "modules/late.py",
        "modules/typing_only.py",
    ],
)
def test_editing_what_the_component_imports_changes_the_digest(tree, name):
    before = digest()
    edit(tree / name)
    assert digest() != before


@pytest.mark.parametrize("name", ["modules/unrelated.py", "pipeline/cli.py", "components/gate/__init__.py"])
def test_editing_what_it_does_not_import_leaves_the_digest(tree, name):
    before = digest()
    edit(tree / name)
    assert digest() == before


def test_a_module_that_moves_to_another_name_changes_the_digest(tree):
    before = digest()
    (tree / "modules" / "late.py").rename(tree / "modules" / "later.py")
    path = tree / "components" / "gate" / "executor.py"
    path.write_text(path.read_text(encoding="utf-8").replace("modules.late", "modules.later"), encoding="utf-8")
    assert digest() != before


def test_the_digest_does_not_depend_on_where_the_tree_stands(tree, monkeypatch):
    before = digest()
    copied = tree.parent / f"{tree.name}-copy"
    shutil.copytree(tree, copied)
    monkeypatch.setattr(module, "ROOT", copied)
    assert digest() == before
    assert len(before) == 64


def test_modules_that_import_each_other_end(tree):
    (tree / "modules" / "late.py").write_text("import modules.direct\n")
    (tree / "modules" / "direct.py").write_text("import modules.late\n")
    assert {path.name for path in closure((COMPONENT,))} >= {"late.py", "direct.py"}


def test_the_trainers_digest_covers_all_that_trains_and_exports(root):
    names = {str(path.relative_to(root)) for path in closure(("edgetune.components.two_phase_trainer.executor",))}
    assert {f"modules/{name}.py" for name in ("two_phase", "phases", "augmentation", "weights", "serving")} <= names
    assert not any(name.startswith(("pipeline/", "components/edge")) for name in names)
    assert "modules/conversion/convert.py" not in names
