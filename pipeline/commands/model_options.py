"""The options of all commands that open a model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

variant = click.option(
    "--variant", metavar="NAME", help="Variant of a bundle.  [default: float32, else the first by name]"
)
threshold = click.option(
    "--threshold",
    metavar="auto|P",
    help="Accept answers from this probability on; auto: from their class's threshold in the bundle.",
)
_public_key = click.option(
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
_ignore_signature = click.option(
    "--ignore-signature", is_flag=True, help="Do not check the signature of a signed model."
)


def trust(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options about signatures, which the command gets as `trust`, of `modules.bundle.signing.Trust`."""

    @_public_key
    @sign_tool
    @_ignore_signature
    @functools.wraps(command)
    def called(*, public_key: Path | None, sign_tool: str | None, ignore_signature: bool, **others: Any) -> Any:
        from edgetune.modules.bundle.signing import TOOL, Trust

        return command(trust=Trust(public_key, sign_tool or TOOL, ignore_signature), **others)

    return called
