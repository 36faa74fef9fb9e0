"""What is wrong with a configuration, in sentences that name key, value, place and what is allowed."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline.config.reference import Schema, allowed, fields, json_schema

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_REMEDY = "`edgetune config --reference` lists every key, its default and its range"


class Sources:
    """Where each key was given: in which line of the file, or by which option of the command line.

    Attributes:
        file: The configuration file, as the user calls it.
        lines: Dotted keys, and the line of the file where each stands.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {}
        self._options: dict[str, str] = {}

    def put(self, tree: dict[str, Any], key: str, value: Any, option: str) -> None:
        """Sets a dotted key in `tree`, making the groups above it, and remembers that `option` gave it.

        Raises:
            ConfigError: What stands above the key is not a group.
        """
        *groups, name = key.split(".")
        at = tree
        for depth, group in enumerate(groups, start=1):
            at = at.setdefault(group, {})
            if not isinstance(at, dict):
                above = ".".join(groups[:depth])
                raise ConfigError(f"{option} {key}: `{above}` is a value, not a group of keys", _REMEDY)
        at[name] = value
        self._options[key] = option

    def on_command_line(self, key: str) -> bool:
        """Whether the command line gave `key`, or a group that holds it."""
        return self._option(key) is not None

    def of(self, key: str) -> str:
        """Words for where `key`, something in it, or the group that should hold it, was given."""
        inside = (option for other, option in self._options.items() if other.startswith(f"{key}."))
        if option := self._option(key) or next(inside, None):
            return option
        at = key
        while at and at not in self.lines:
            at = at.rpartition(".")[0]
        return f"{self.file}, line {self.lines[at]}" if at else self.file

    def _option(self, key: str) -> str | None:
        while key and key not in self._options:
            key = key.rpartition(".")[0]
        return self._options.get(key)


def explain(errors: list[ErrorDetails], sources: Sources) -> ConfigError:
    """One error for all that pydantic found wrong."""
    schema = dict(fields(json_schema()))
    found = [_sentence(error, schema, sources) for error in errors]
    if len(found) == 1:
        return ConfigError(found[0], _REMEDY)
    return ConfigError(f"{len(found)} settings cannot be used:\n  - " + "\n  - ".join(found), _REMEDY)


def _sentence(error: ErrorDetails, schema: dict[str, Schema], sources: Sources) -> str:
    key = ".".join(part for part in error["loc"] if isinstance(part, str))
    field = schema.get(key, {})
    if error["type"] == "extra_forbidden":
        return f"unknown key {key} ({sources.of(key)}): {_suggestion(key, schema)}"
    if error["type"] == "missing":
        return f"{key} is missing ({sources.of(key)}): it must be {allowed(field)}"
    if error["type"] == "value_error":
        return f"{key or 'the settings'} ({sources.of(key)}): {error['ctx']['error']}"
    item = ""
    for index in (part for part in error["loc"] if isinstance(part, int)):
        item += f" item {index + 1}:"
        field = field["items"]
    hint = ", in quotes" if field.get("type") == "string" and isinstance(error["input"], int | float) else ""
    return f"{key}:{item} {_shown(error['input'])} ({sources.of(key)}) must be {allowed(field)}{hint}"


def _suggestion(key: str, schema: dict[str, Schema]) -> str:
    if key in schema:
        return f"in YAML, a dotted key is written as groups, `{': {'.join(key.split('.'))}: ...{'}' * key.count('.')}`"
    group, _, name = key.rpartition(".")
    siblings = [other.rpartition(".")[2] for other in schema if other.rpartition(".")[0] == group]
    close = difflib.get_close_matches(name, siblings, n=1)
    # A key that exists, but in another group.
    elsewhere = [other for other in schema if other.rpartition(".")[2] == name]
    if elsewhere or close:
        return "did you mean " + " or ".join(elsewhere or [f"{group}.{close[0]}".lstrip(".")]) + "?"
    return f"{group or 'the top level'} has {', '.join(siblings)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
