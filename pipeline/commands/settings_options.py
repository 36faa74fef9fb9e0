"""The options of all commands that take a configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def complete_setting(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return what may follow `--set`, for shells: keys, and the values of a key that has few."""
    from edgetune.pipeline.config.problems import choices
    from edgetune.pipeline.config.reference import fields, json_schema

    schema = {key: field for key, field in fields(json_schema()) if "properties" not in field}
    key, equals, value = incomplete.partition("=")
    if not equals:
        return [name for name in schema if name.startswith(key)]
    return [f"{key}={choice}" for choice in choices(schema.get(key, {})) if choice.startswith(value)]


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config`, `--data` and `--set` to a command; they arrive as `config`, `data` and `overrides`."""
    options = (
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Configuration in YAML.  [default: the digits demo]",
        ),
        click.option("--data", metavar="DIR", help="Images as DIR/<class>/*; same as --set data.path=DIR."),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="One setting, such as model.alpha=0.35; repeatable.",
            shell_complete=complete_setting,
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
