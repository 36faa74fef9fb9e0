"""The digest of the code that a component runs.

TFX caches an execution by its inputs and execution properties; of a `run_fn` named by a string, or of an executor
class, it sees only the name. With this digest among the execution properties, editing a file re-runs the
components whose code it is, and no other.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("modules", "components", "pipeline")


@functools.cache
def code_digest(*modules: str) -> str:
    """SHA-256 over the sources of `modules` and of all that they import from edgetune's own floors.

    Args:
        modules: Dotted names, such as `edgetune.components.edge_exporter.executor`.

    Returns:
        64 hexadecimal digits. Comments count: only the bytes of the files are compared.
    """
    digest = hashlib.sha256()
    for path in sorted(closure(modules)):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def closure(modules: tuple[str, ...]) -> set[Path]:
    """The source files of `modules` and of everything first-party that they import, also inside functions."""
    found: set[Path] = set()
    waiting = list(modules)
    while waiting:
        path = _source(waiting.pop())
        if path is None or path in found:
            continue
        found.add(path)
        waiting.extend(first_party_imports(path))
    return found


def first_party_imports(path: Path) -> frozenset[str]:
    """Dotted names under edgetune's floors that the file at `path` imports anywhere."""
    return _imports(path.read_text(encoding="utf-8"), str(path))


@functools.cache  # the components share most of their code
def _imports(source: str, name: str) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source, filename=name)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from modules import images` names a module, `from edgetune.modules.images.decode import decode` one of its members.
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in names if name.split(".")[0] in FLOORS)


def _source(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None
