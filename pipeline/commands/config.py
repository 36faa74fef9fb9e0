"""`edgetune config`: print the configuration, its schema or its reference."""

from __future__ import annotations

from pathlib import Path

import click

from edgetune.pipeline import api
from edgetune.pipeline.commands.settings_options import settings_options


@click.command(short_help="Print the configuration that a run would have.")
@settings_options
@click.option("--schema", is_flag=True, help="Print the JSON schema of configuration files instead.")
@click.option("--bundle-schema", is_flag=True, help="Print the JSON schema of a bundle's bundle.json instead.")
@click.option("--reference", is_flag=True, help="Print the table of all keys instead.")
def config(
    config: Path | None,
    data: str | None,
    overrides: tuple[str, ...],
    schema: bool,
    bundle_schema: bool,
    reference: bool,
) -> None:
    """Print the configuration that a run would have, defaults included."""
    if schema + bundle_schema + reference > 1:
        raise click.UsageError("--schema, --bundle-schema and --reference exclude each other")
    if bundle_schema:
        from edgetune.modules.contracts.bundle import json_schema_text

        click.echo(json_schema_text(), nl=False)
        return
    if schema or reference:
        from edgetune.pipeline.config import reference as documents

        click.echo(documents.json_schema_text() if schema else documents.reference(), nl=False)
    else:
        from edgetune.pipeline.config.load import to_yaml

        click.echo(to_yaml(api.load_settings(config, data=data, overrides=overrides)), nl=False)
