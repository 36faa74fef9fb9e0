"""The options of all commands that open a model."""

from __future__ import annotations

from pathlib import Path

import click

variant = click.option(
    "--variant", metavar="NAME", help="Variant of a bundle.  [default: float32, else the first by name]"
)
threshold = click.option(
    "--threshold",
    metavar="auto|P",
    help="Accept answers from this probability on; auto: from their class's threshold in the bundle.",
)
public_key = click.option(
    "--public-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="PEM file of the key that must have signed the model.",
)
sign_tool = click.option(
    "--sign-tool",
    metavar="COMMAND",
    help="What makes and checks signatures, by name or path.  [default: model_signing]",
)
