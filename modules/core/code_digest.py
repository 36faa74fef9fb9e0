"""Compute the digest of the code that a component runs.

TFX caches an execution by its inputs and execution properties; of a `run_fn` given as a string, or of an executor
class, it sees only the name. With this digest among the execution properties, editing a file re-runs exactly the
components that use it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

from edgetune.modules.core.package_paths import ROOT

_PACKAGE = "edgetune"


@functools.cache
def code_digest(*modules: str) -> str:
    """Return the SHA-256 of the sources of `modules` and of everything in edgetune that they import.

    Args:
        modules: Dotted names, such as `components.edge_exporter.executor`.

    Returns:
        64 hexadecimal digits. Comments count too, because the bytes of the files are hashed.
    """
    digest = hashlib.sha256()
    for path in sorted(closure(modules)):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def closure(modules: tuple[str, ...]) -> set[Path]:
    """Return the source files of `modules` and of everything in edgetune that they import, also inside functions.

    The `__init__.py` of each parent package is included, because Python runs it, but its imports are not followed: they
    are there for the convenience of other callers. `edgetune/__init__.py` is left out: it is the Python API on top of
    the whole program, and imports it lazily.
    """
    found: set[Path] = set()
    waiting = list(modules)
    followed: set[str] = set()
    while waiting:
        module = waiting.pop()
        path = _source(module)
        if path is None or module in followed:
            continue
        followed.add(module)
        found.add(path)
        found.update(init for init in _packages(module) if init.is_file())
        waiting.extend(first_party_imports(path, module if path.name == "__init__.py" else module.rpartition(".")[0]))
    return found


def first_party_imports(path: Path, package: str) -> frozenset[str]:
    """Return the dotted names of the modules in edgetune that a file imports anywhere.

    Args:
        path: The file.
        package: Dotted name of the package that the file's relative imports start from.
    """
    imported = _imports(path.read_text(encoding="utf-8"), str(path), package)
    names = {name for name in imported if isinstance(name, str)}
    for module, member in (pair for pair in imported if not isinstance(pair, str)):
        # `from edgetune.modules.images import decode` names a module; `from ...decode import decode` a member of one.
        inside = f"{module}.{member}"
        names.add(inside if _source(inside) else module)
    return frozenset(names)


@functools.cache  # the components share most of their code
def _imports(source: str, name: str, package: str) -> frozenset[str | tuple[str, str]]:
    names: set[str | tuple[str, str]] = set()
    for node in ast.walk(ast.parse(source, filename=name)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if _is_ours(module):
                names.update((module, alias.name) for alias in node.names)
    return frozenset(names)


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == _PACKAGE


def _packages(module: str) -> list[Path]:
    """Return the `__init__.py` of each package that contains a module, except for the outermost."""
    parts = module.split(".")[1:-1]
    return [ROOT.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]


def _source(module: str) -> Path | None:
    package, *parts = module.split(".")
    if package != _PACKAGE or not parts:
        return None
    base = ROOT.joinpath(*parts)
    for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None
