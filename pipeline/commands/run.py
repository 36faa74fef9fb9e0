"""`edgetune run`: run the whole pipeline on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgetune.pipeline import api
from edgetune.pipeline.commands.settings_options import settings_options

WORKDIR = Path("workdir")


@click.command(short_help="Run the whole pipeline on this machine.")
@settings_options
@click.option(
    "--workdir",
    type=click.Path(path_type=Path),
    default=WORKDIR,
    show_default=True,
    metavar="DIR",
    help="Folder for everything that the run makes.",
)
@click.option("--verbose", is_flag=True, help="Show the log of TFX and TensorFlow too.")
@click.option(
    "--allow",
    multiple=True,
    metavar="FINDING",
    help="Let a finding in the data pass, such as two_labels:cats/1.jpg; same as data.allow; repeatable.",
)
@click.option("--no-cache", "cache", is_flag=True, flag_value=False, default=True, help="Run every component again.")
def run(
    config: Path | None,
    data: str | None,
    overrides: tuple[str, ...],
    workdir: Path,
    verbose: bool,
    allow: tuple[str, ...],
    cache: bool,
) -> None:
    """Run the whole pipeline on this machine: from images to a blessed SavedModel and LiteRT models.

    The report, the log, the artifacts and the pushed models are written to the workdir.
    """
    click.echo("edgetune: starting")  # importing what it needs takes seconds
    if allow:
        overrides = (*overrides, f"data.allow={json.dumps(allow)}")
    ended = api.run(config, data=data, workdir=workdir, overrides=overrides, cache=cache, verbose=verbose)
    from edgetune.pipeline.local.next_steps import next_steps

    click.echo("next")
    there = None if workdir == WORKDIR else workdir
    for command in next_steps(ended, config=config, data=data, overrides=overrides, workdir=there):
        click.echo(f"  {command}")
    ended.require_blessed()
