"""`edgetune client BUNDLE --platform NAME --out DIR`: a small project around an edge bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetune.modules.core.child_process import hide_gpus
from edgetune.pipeline.commands import model_options

if TYPE_CHECKING:
    from edgetune.modules.bundle.signing import Trust


@click.command(short_help="Write a small Android, iOS, web or Python project around an edge bundle.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--platform", required=True, type=click.Choice(["android", "ios", "web", "python"]), help="What the project is for."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="New folder to write.")
@model_options.trust
def client(bundle: Path, platform: str, out: Path, trust: Trust) -> None:
    """Write a project that loads the bundle, reads photographs and camera frames, and tests the golden images.

    BUNDLE is the folder of a pushed bundle, with its bundle.json. It is verified first, and copied into the project as
    it is. The README of the project says how to run it and its tests.
    """
    hide_gpus()
    from edgetune.pipeline.client import write_client

    readme = write_client(bundle, platform, out, trust)
    click.echo(f"wrote {readme.parent}\n  next: {readme}")
