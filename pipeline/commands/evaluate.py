"""`edgetune evaluate`: measure a model on labelled images."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetune.modules.core.errors import DataError
from edgetune.modules.core.wording import counted
from edgetune.pipeline import api
from edgetune.pipeline.commands import model_options

if TYPE_CHECKING:
    from edgetune.modules.bundle.signing import Trust


@click.command(short_help="Measure a bundle or a SavedModel on labelled images: accuracy, classes, confusion.")
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL")
@click.argument("data", metavar="LABELLED_DIR")
@model_options.variant
@click.option(
    "--split",
    type=click.Choice(("train", "eval", "test", "all")),
    help="Part of data that have splits.  [default: test if there is one, else all]",
)
@model_options.threshold
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="How data are read, such as data.columns.label=art."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@model_options.trust
def evaluate(
    model: Path,
    data: str,
    variant: str | None,
    split: str | None,
    threshold: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
    trust: Trust,
) -> None:
    """Measure a model on images whose classes are known, with 95 % intervals.

    MODEL is as of `edgetune predict`; LABELLED_DIR as the data of a run: class folders, a list, or TFRecords. Images of
    classes that the model does not have are told and do not count. An image that cannot be read is named, and the exit
    code is then 3. Images that the model was trained on say nothing about new ones.
    """
    from edgetune.pipeline.classify.evaluation import as_lines
    from edgetune.pipeline.terminal.bar import bar, is_watched

    with bar("images", None, sys.stderr if is_watched(prints=False) else None) as done:
        found = api.evaluate(
            model,
            data,
            variant=variant,
            split=split,
            threshold=threshold,
            overrides=overrides,
            public_key=trust.public_key,
            sign_tool=trust.tool,
            ignore_signature=trust.ignore,
            report=done,
        )
    click.echo(json.dumps(found.as_json(), indent=1) if as_json else "\n".join(as_lines(found)))
    if found.unreadable:
        raise DataError(f"{counted(len(found.unreadable), 'image')} could not be read, named above")
