"""Describe problems of a configuration in sentences with key, value, source and the allowed values."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.settings.base import Contradiction
from edgetune.pipeline.config.reference import Schema, allowed, fields, json_schema

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_REMEDY = "`edgetune config --reference` lists every key, its default and its range"


class Sources:
    """The source of each key: a line of the file, or an option of the command line.

    Attributes:
        file: The configuration file, as the user named it.
        lines: Line in the file by dotted key.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {}
        self._options: dict[str, str] = {}

    def put(self, tree: dict[str, Any], key: str, value: Any, option: str) -> None:
        """Set a dotted key in `tree`, creating the groups above it, and record `option` as its source.

        Raises:
            ConfigError: A parent of the key is a value, not a group.
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
        """Return whether `key`, or a group that holds it, comes from the command line."""
        return self._option(key) is not None

    def describe(self, key: str) -> str:
        """Return the source of `key`, of something in it, or of the group that should hold it."""
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
    """Combine all errors that pydantic found into one."""
    schema = dict(fields(json_schema()))
    found = [_sentence(error, schema, sources) for error in errors]
    causes = [error.get("ctx", {}).get("error") for error in errors]
    remedies = dict.fromkeys(cause.remedy if isinstance(cause, Contradiction) else _REMEDY for cause in causes)
    remedy = "; ".join(remedies)
    if len(found) == 1:
        return ConfigError(found[0], remedy)
    return ConfigError(f"{len(found)} settings are invalid:\n  - " + "\n  - ".join(found), remedy)


def _sentence(error: ErrorDetails, schema: dict[str, Schema], sources: Sources) -> str:
    key = ".".join(part for part in error["loc"] if isinstance(part, str))
    field = schema.get(key, {})
    if error["type"] == "extra_forbidden":
        return f"unknown key {key} ({sources.describe(key)}): {_suggestion(key, schema)}"
    if error["type"] == "missing":
        return f"{key} is missing ({sources.describe(key)}): it must be {allowed(field)}"
    if error["type"] == "value_error":
        return f"{key or 'the settings'} ({sources.describe(key)}): {error['ctx']['error']}"
    item = ""
    for index in (part for part in error["loc"] if isinstance(part, int)):
        item += f" item {index + 1}:"
        field = field["items"]
    value, source = error["input"], sources.describe(key)
    hint = ", in quotes" if field.get("type") == "string" and isinstance(value, int | float) else ""
    if field.get("type") == "array" and isinstance(value, str | int | float):
        hint = f"; write it like {_as_list(key, str(value), source)}"
    elif isinstance(value, str) and (close := meant(value, choices(field))):
        hint = f": did you mean {close}?"
    return f"{key}:{item} {_shortened(value)} ({source}) must be {allowed(field)}{hint}"


def meant(value: str, among: Sequence[str]) -> str | None:
    """Return the choice that a value is most like: but for case and signs the same, else alike; None if none is."""
    plain = {re.sub(r"[^a-z0-9]", "", choice.lower()): choice for choice in reversed(among)}
    wanted = re.sub(r"[^a-z0-9]", "", value.lower())
    close = [wanted] if wanted in plain else difflib.get_close_matches(wanted, plain, n=1)
    return plain[close[0]] if close else None


def choices(field: Schema) -> list[str]:
    """Return the values that a key of few values may have; none for any other key."""
    if field.get("type") == "boolean":
        return ["true", "false"]
    if "anyOf" in field:
        return [value for choice in field["anyOf"] for value in choices(choice)]
    return [str(value) for value in field.get("enum", [field["const"]] if "const" in field else [])]


def _as_list(key: str, value: str, source: str) -> str:
    items = ", ".join(part for part in re.split(r"[,;\s]+", value.strip("[]()")) if part)
    return f"--set {shlex.quote(f'{key}=[{items}]')}" if source == "--set" else f"`[{items}]`"


def _suggestion(key: str, schema: dict[str, Schema]) -> str:
    if key in schema:
        return f"in YAML, a dotted key is written as groups, `{': {'.join(key.split('.'))}: ...{'}' * key.count('.')}`"
    group, _, name = key.rpartition(".")
    siblings = [other.rpartition(".")[2] for other in schema if other.rpartition(".")[0] == group]
    close = difflib.get_close_matches(name, siblings, n=1)
    # Keys of the same name in other groups.
    elsewhere = [other for other in schema if other.rpartition(".")[2] == name]
    if elsewhere or close:
        return "did you mean " + " or ".join(elsewhere or [f"{group}.{close[0]}".lstrip(".")]) + "?"
    return f"{group or 'the top level'} has {', '.join(siblings)}"


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
