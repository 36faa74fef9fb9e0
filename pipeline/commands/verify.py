"""`edgetune verify`: check an edge bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetune.modules.core.child_process import hide_gpus
from edgetune.modules.core.errors import BundleError
from edgetune.pipeline import api
from edgetune.pipeline.commands import model_options

if TYPE_CHECKING:
    from edgetune.modules.bundle.signing import Trust


@click.command(short_help="Check everything of an edge bundle: files, labels, models, answers, signature.")
@click.argument("bundle", type=click.Path(path_type=Path))
@model_options.trust
def verify(bundle: Path, trust: Trust) -> None:
    """Check everything of an edge bundle, and print each result, with a remedy for what is wrong.

    BUNDLE is the folder of a pushed bundle, with its bundle.json. The exit code is 9 if anything is wrong, also if the
    bundle is signed and its signature was not checked.
    """
    hide_gpus()
    checks = api.verify(
        bundle,
        public_key=trust.public_key,
        sign_tool=trust.tool,
        ignore_signature=trust.ignore,
        report=click.echo,
    )
    if failed := [check for check in checks if check.outcome == "failed"]:
        raise BundleError(f"{bundle}: {len(failed)} of {len(checks)} checks failed", "see the failed checks above")
