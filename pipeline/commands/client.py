"""`edgetune client BUNDLE --platform NAME --out DIR`: a small project around an edge bundle."""

from __future__ import annotations

from pathlib import Path

import click

from edgetune.modules.core.child_process import hide_gpus
from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline.commands import model_options


@click.command(short_help="Write a small Android, iOS, web or Python project around an edge bundle.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--platform", required=True, type=click.Choice(["android", "ios", "web", "python"]), help="What the project is for."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="New folder to write.")
@model_options.public_key
@model_options.sign_tool
@click.option("--ignore-signature", is_flag=True, help="Do not check the signature of a signed bundle.")
def client(
    bundle: Path, platform: str, out: Path, public_key: Path | None, sign_tool: str | None, ignore_signature: bool
) -> None:
    """Write a project that loads the bundle, reads photographs and camera frames, and tests the golden images.

    BUNDLE is the folder of a pushed bundle, with its bundle.json. It is verified first, and copied into the project as
    it is. The README of the project says how to run it and its tests.
    """
    if ignore_signature and public_key is not None:
        raise ConfigError("--ignore-signature and --public-key exclude each other", "leave out one of them")
    hide_gpus()
    from edgetune.modules.bundle.signing import TOOL
    from edgetune.pipeline.client import write_client

    readme = write_client(bundle, platform, out, public_key, sign_tool or TOOL, ignore_signature=ignore_signature)
    click.echo(f"wrote {readme.parent}\n  next: {readme}")
