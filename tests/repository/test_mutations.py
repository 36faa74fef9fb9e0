"""Every entry of tests/mutations can still be applied, and names a test that is there and that `make test` runs.
Whether the test fails is `make mutation-test`'s to say."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from pathlib import Path

from tests.mutations.run import mutations

LARGE = "pytest.mark.large"


@functools.cache
def functions(path: Path) -> set[str]:
    """Return the names of a module's functions that are not marked as large, themselves or with all of the module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if any(isinstance(node, ast.Assign) and ast.unparse(node) == f"pytestmark = {LARGE}" for node in tree.body):
        return set()
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return {node.name for node in found if LARGE not in map(ast.unparse, node.decorator_list)}


def test_a_test_that_is_marked_as_large_is_not_counted(tmp_path):
    marked, whole = tmp_path / "marked.py", tmp_path / "whole.py"
    marked.write_text(f"@{LARGE}\n@pytest.mark.parametrize('x', [1])\ndef test_a(x): ...\n\n\ndef test_b(): ...\n")
    whole.write_text(f"pytestmark = {LARGE}\n\n\ndef test_c(): ...\n")
    assert functions(marked) == {"test_b"} and functions(whole) == set()


def test_every_mutation_applies_and_its_test_exists_and_is_not_large(root):
    entries = mutations()
    assert [promise for promise, times in Counter(entry.promise for entry in entries).items() if times > 1] == []
    for entry in entries:
        text = (root / entry.file).read_text(encoding="utf-8")
        assert entry.changed(text) != text
        path, name = entry.test.split("::")
        assert name.partition("[")[0] in functions(root / path), entry.test
