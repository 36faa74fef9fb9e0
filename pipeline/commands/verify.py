"""`edgetune verify`: check an edge bundle."""

from __future__ import annotations

from pathlib import Path

import click

from edgetune.modules.core.child_process import hide_gpus
from edgetune.modules.core.errors import BundleError, ConfigError
from edgetune.pipeline import api
from edgetune.pipeline.commands import model_options


@click.command(short_help="Check everything of an edge bundle: files, labels, models, answers, signature.")
@click.argument("bundle", type=click.Path(path_type=Path))
@model_options.public_key
@model_options.sign_tool
@click.option("--ignore-signature", is_flag=True, help="Do not check the signature of a signed bundle.")
def verify(bundle: Path, public_key: Path | None, sign_tool: str | None, ignore_signature: bool) -> None:
    """Check everything of an edge bundle, and print each result, with a remedy for what is wrong.

    BUNDLE is the folder of a pushed bundle, with its bundle.json. The exit code is 9 if anything is wrong, also if the
    bundle is signed and its signature was not checked.
    """
    if ignore_signature and public_key is not None:
        raise ConfigError("--ignore-signature and --public-key exclude each other", "leave out one of them")
    hide_gpus()
    checks = api.verify(
        bundle, public_key=public_key, sign_tool=sign_tool, ignore_signature=ignore_signature, report=click.echo
    )
    if failed := [check for check in checks if check.outcome == "failed"]:
        raise BundleError(f"{bundle}: {len(failed)} of {len(checks)} checks failed", "see the failed checks above")
