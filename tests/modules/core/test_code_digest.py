"""Which edits change the digest of a component's code, and which do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgetune.modules.core import code_digest as module
from edgetune.modules.core.code_digest import closure, code_digest

COMPONENT = "edgetune.components.gate.executor"
TREE = {
    "__init__.py": "from edgetune.modules import unrelated\n",
    "modules/__init__.py": "",
    "modules/direct.py": "import json\nfrom edgetune.modules.room.indirect import value\n",
    "modules/room/__init__.py": "from edgetune.modules import of_the_room\n",
    "modules/room/indirect.py": "from . import sibling\nfrom ..cousin import value\n",
    "modules/room/sibling.py": "",
    "modules/cousin.py": "value = 1\n",
    "modules/of_the_room.py": "",
    "modules/late.py": "",
    "modules/typing_only.py": "",
    "modules/member.py": "",
    "modules/unrelated.py": "from edgetune.modules import direct\n",
    "modules/other/__init__.py": "from edgetune.modules.member import value\n",
    "components/__init__.py": "",
    "components/gate/__init__.py": "from edgetune.components.gate.component import Gate\n",
    "components/gate/component.py": "from edgetune.modules import unrelated\n",
    "components/gate/executor.py": (
        "from __future__ import annotations\n"
        "import numpy as np\n"
        "from typing import TYPE_CHECKING\n"
        "from edgetune.modules import direct\n"
        "from edgetune.modules.other import value\n"
        "if TYPE_CHECKING:\n"
        "    import edgetune.modules.typing_only\n"
        "def run():\n"
        "    from edgetune.modules.late import value\n"
    ),
    "pipeline/cli.py": "import edgetune.components.gate.executor\n",
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
        "modules/direct.py",
        "modules/room/indirect.py",
        "modules/late.py",
        "modules/typing_only.py",
    ],
)
def test_editing_an_imported_file_changes_the_digest(tree, name):
    before = digest()
    edit(tree / name)
    assert digest() != before


@pytest.mark.parametrize("name", ["modules/room/sibling.py", "modules/cousin.py"])
def test_relative_imports_are_followed(tree, name):
    before = digest()
    edit(tree / name)
    assert digest() != before


@pytest.mark.parametrize(
    "name", ["modules/__init__.py", "modules/room/__init__.py", "components/__init__.py", "components/gate/__init__.py"]
)
def test_editing_a_parent_package_changes_the_digest(tree, name):
    before = digest()
    edit(tree / name)
    assert digest() != before


@pytest.mark.parametrize("name", ["modules/of_the_room.py", "components/gate/component.py"])
def test_imports_of_a_parent_package_do_not_count(tree, name):
    before = digest()
    edit(tree / name)
    assert digest() == before


def test_imports_of_a_package_count_if_a_member_is_imported_from_it(tree):
    before = digest()
    edit(tree / "modules/member.py")
    assert digest() != before


@pytest.mark.parametrize("name", ["__init__.py", "modules/unrelated.py", "pipeline/cli.py"])
def test_editing_a_file_that_is_not_imported_keeps_the_digest(tree, name):
    before = digest()
    edit(tree / name)
    assert digest() == before


def test_importing_edgetune_itself_does_not_add_the_whole_program_to_the_digest(tree):
    before = digest()
    path = tree / "modules" / "late.py"
    path.write_text("import edgetune\nfrom edgetune import __version__\n")
    changed = digest()
    assert changed != before
    edit(tree / "__init__.py")
    edit(tree / "modules" / "unrelated.py")
    assert digest() == changed


def test_renaming_a_module_changes_the_digest(tree):
    before = digest()
    (tree / "modules" / "late.py").rename(tree / "modules" / "later.py")
    path = tree / "components" / "gate" / "executor.py"
    path.write_text(path.read_text(encoding="utf-8").replace("modules.late ", "modules.later "), encoding="utf-8")
    assert digest() != before


def test_the_digest_does_not_depend_on_the_folder_of_the_code(tree, monkeypatch):
    before = digest()
    copied = tree.parent / f"{tree.name}-copy"
    shutil.copytree(tree, copied)
    monkeypatch.setattr(module, "ROOT", copied)
    assert digest() == before
    assert len(before) == 64


def test_circular_imports_are_followed_once(tree):
    (tree / "modules" / "late.py").write_text("import edgetune.modules.direct\n")
    (tree / "modules" / "direct.py").write_text("import edgetune.modules.late\n")
    assert {path.name for path in closure((COMPONENT,))} >= {"late.py", "direct.py"}


def test_the_trainers_digest_covers_training_and_export_code_only():
    names = {
        path.relative_to(module.ROOT).as_posix()
        for path in closure(("edgetune.components.two_phase_trainer.executor",))
    }
    wanted = ("training/two_phase", "training/phase", "training/augmentation", "models/weights", "serving/export")
    assert {f"modules/{name}.py" for name in wanted} <= names
    assert {"modules/__init__.py", "modules/training/__init__.py", "components/__init__.py"} <= names
    assert not any(name.startswith(("pipeline/", "components/edge", "__init__")) for name in names)
    assert "modules/conversion/convert.py" not in names
