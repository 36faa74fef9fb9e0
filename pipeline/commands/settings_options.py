"""The options of all commands that take a configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


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
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
