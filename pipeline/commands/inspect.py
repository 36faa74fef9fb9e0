"""`edgetune inspect`: say what a run would read, before any run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgetune.pipeline import api


@click.command(short_help="Say what a run would read: classes, splits, findings, rejected files.")
@click.argument("data", metavar="DATA")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Configuration in YAML.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting, such as data.min_side=32; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
def inspect(data: str, config: Path | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Say what a run would read from DATA, a folder or a list, without a run and without TFX.

    Nothing is written to DATA. Exit code 0, also with findings; 3 if no run could use the data.
    """
    from edgetune.pipeline.inspect.inspection import inspect as look_at
    from edgetune.pipeline.inspect.text import as_text

    found = look_at(api.load_settings(config, data=data, overrides=overrides))
    click.echo(json.dumps(found.as_json(), indent=1) if as_json else "\n".join(as_text(found)))
