"""Write what an inspection suggests as a configuration with comments, which its user can edit and run with."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.core.untrusted_text import printable
from edgetune.modules.data.columns import GROUP
from edgetune.modules.data.digits import EMBEDDED
from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.run import RunSettings, Settings, Splits
from edgetune.modules.storage import filesystem
from edgetune.pipeline.config.load import load
from edgetune.pipeline.config.reference import fields, json_schema
from edgetune.pipeline.config.yaml_file import flow
from edgetune.pipeline.inspect.fix import has_groups
from edgetune.pipeline.inspect.inspection import Inspection
from edgetune.pipeline.inspect.suggestions import Suggestion, suggestions

_COLUMNS = 100
_ABOVE = "../.."
"""Paths further up than that are written as absolute ones."""


def write_configuration(inspection: Inspection, settings: RunSettings, path: Path, data: Path | None = None) -> None:
    """Write a configuration for the inspected data, and check that it can be loaded.

    Args:
        inspection: What was found.
        settings: Of the inspection; what differs from the defaults is written, too.
        path: The new file. It must not exist.
        data: List of the images that takes the place of the inspected data; None if none was written.

    Raises:
        ConfigError: The file exists or cannot be written, or a name cannot be written as UTF-8.
    """
    check_new(path)
    if data is not None:
        update = {"path": str(data.resolve()), "columns": type(settings.data.columns)()}
        if has_groups(inspection):
            update["group"] = GROUP
        settings = settings.model_copy(update={"data": settings.data.model_copy(update=update)})
    try:
        content = as_yaml(inspection, settings, path).encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"--write {path}: a name in {printable(settings.data.path)} is not UTF-8", "rename the folder or file"
        ) from None
    try:
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise ConfigError(f"--write {path}: cannot be written: {error.strerror}", "name another file") from None
    try:
        load(path, [], None)
    except ConfigError:  # nobody is left with a file that does not work
        path.unlink()
        raise


def check_new(path: Path) -> None:
    """Check that a file can be a new configuration.

    Raises:
        ConfigError: It exists, or is not called as one.
    """
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(f"--write {path}: is not called as a configuration", "end its name with .yaml")
    if os.path.lexists(path):
        raise ConfigError(f"--write {path}: exists already", "name another file; nothing is overwritten")


def as_yaml(inspection: Inspection, settings: RunSettings, path: Path) -> str:
    """Return the configuration as text.

    Args:
        inspection: What was found.
        settings: Of the inspection.
        path: Where it will be, to which a path of data is relative.
    """
    lines = {line.key: line for line in suggestions(inspection, settings)}
    given = dict(_given(settings))
    for key, value in given.items():
        lines.setdefault(key, Suggestion(key, value))
        if lines[key].hint:
            lines[key] = Suggestion(key, value, lines[key].why)
    lines["data.path"] = Suggestion("data.path", _relative(settings.data.path, path), lines["data.path"].why)
    head = [
        *_comment(
            "Written by `edgetune inspect` from what it saw; `edgetune config --reference` has all settings.", ""
        ),
        *_comment(f"Run it: edgetune run --config {shlex.quote(path.name)}", ""),
        f"name: {settings.name}",
    ]
    order = [key for key, field in fields(json_schema())]
    known = sorted((line for line in lines.values() if line.key != "name"), key=lambda line: order.index(line.key))
    return "\n".join([*head, *_nested(known)]) + "\n"


def command(path: Path) -> str:
    """Return the command that runs with a written configuration."""
    return shlex.join(["edgetune", "run", "--config", str(path)])


def _nested(lines: list[Suggestion]) -> Iterator[str]:
    """Yield lines of YAML; the suggestions are ordered by group, and every group has one that is not a hint."""
    before: list[str] = []
    for line in lines:
        *groups, name = line.key.split(".")
        common = next((i for i, (a, b) in enumerate(zip(before, groups, strict=False)) if a != b), len(before))
        for depth in range(min(common, len(groups)), len(groups)):
            if depth == 0:
                yield ""
            yield f"{'  ' * depth}{groups[depth]}:"
        before = groups
        indent = "  " * len(groups)
        yield from _comment(line.why, indent)
        yield f"{indent}{'# ' if line.hint else ''}{name}: {flow(line.value)}"


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(printable(text), _COLUMNS - len(indent), break_long_words=False, break_on_hyphens=False):
        yield f"{indent}# {line}"


def _given(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all values that differ from their defaults, by dotted name."""
    values = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        value, key = getattr(settings, name), f"{prefix}{name}"
        if isinstance(value, Settings) and not isinstance(value, Splits):  # which are written on one line
            yield from _given(value, f"{key}.")
        elif key == "model.image_size":
            if value != ARCHITECTURES[settings.backbone].image_size:  # type: ignore[attr-defined]
                yield key, value
        elif not field.is_required() and value != field.get_default():
            yield key, values[name]


def _relative(data: str, path: Path) -> str:
    if data == EMBEDDED or filesystem.is_remote(data):
        return data
    relative = os.path.relpath(data, path.resolve().parent)
    return data if relative.startswith(f"{_ABOVE}/..") else relative
