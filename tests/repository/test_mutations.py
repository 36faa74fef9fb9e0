"""Every entry of tests/mutations can still be applied, and names a test that is there. Whether the test fails is
`make mutation-test`'s to say."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from pathlib import Path

from tests.mutations.run import mutations


@functools.cache
def functions(path: Path) -> set[str]:
    return {
        node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    }


def test_every_mutation_applies_and_its_test_exists(root):
    entries = mutations()
    assert [promise for promise, times in Counter(entry.promise for entry in entries).items() if times > 1] == []
    for entry in entries:
        text = (root / entry.file).read_text(encoding="utf-8")
        assert entry.changed(text) != text
        path, name = entry.test.split("::")
        assert name.partition("[")[0] in functions(root / path), entry.test
