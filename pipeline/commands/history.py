"""`edgetune runs`, `compare`, `rollback` and `lineage`: look at what was run and released, and go back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgetune.pipeline import api
from edgetune.pipeline.commands.settings_options import settings_options

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")


def _of_a_workdir(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a workdir and its pipeline."""
    workdir = click.option(
        "--workdir",
        type=click.Path(path_type=Path),
        default=Path("workdir"),
        show_default=True,
        metavar="DIR",
        help="Folder of the runs.",
    )
    return settings_options(workdir(_as_json(command)))


@click.command(short_help="List runs: verdict, accuracy, and which version is served.")
@_of_a_workdir
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="Number of runs.")
def runs(
    config: Path | None, data: str | None, overrides: tuple[str, ...], workdir: Path, as_json: bool, last: int
) -> None:
    """List the runs of a pipeline and its rollbacks, the latest first.

    The configuration tells the name of the pipeline and the places of its versions, as in `edgetune run`.
    """
    from edgetune.pipeline.history import runs as history

    found = history.runs(api.load_settings(config, data=data, overrides=overrides), workdir, last)
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(history.as_text(found)))


@click.command(short_help="Compare two runs: verdict, accuracy on the same images, settings, data, variants, times.")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@_of_a_workdir
def compare(
    first: str,
    second: str,
    config: Path | None,
    data: str | None,
    overrides: tuple[str, ...],
    workdir: Path,
    as_json: bool,
) -> None:
    """Compare two runs.

    A and B are ids of runs, as `edgetune runs` lists them, or the beginning of one, or `latest`; or each a workdir, for
    its latest run. Accuracies are compared on the test images that both answered. The records are only read.
    """
    from edgetune.pipeline.history import compare as history

    settings = api.load_settings(config, data=data, overrides=overrides)
    found = history.compare(settings, workdir, first, second)
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(history.as_text(found)))


@click.command(short_help="Release the models of an earlier version again.")
@_of_a_workdir
@click.option(
    "--to",
    "version",
    type=click.IntRange(min=1),
    metavar="VERSION",
    help="The version, one that `edgetune runs` lists.  [required]",
)
def rollback(
    config: Path | None, data: str | None, overrides: tuple[str, ...], workdir: Path, as_json: bool, version: int | None
) -> None:
    """Release both models of an earlier version again, under a new and higher number, which servers take.

    Refused if the version was not blessed by all gates, or if one of its files is not as it was delivered. The rollback
    lasts until a run has another model to release.
    """
    if version is None:
        raise click.UsageError("Missing option '--to VERSION': `edgetune runs` lists the versions.")
    from edgetune.modules.release.marker import as_json as document
    from edgetune.pipeline.history.rollback import rollback as roll_back

    made = roll_back(api.load_settings(config, data=data, overrides=overrides), workdir, version)
    if as_json:
        click.echo(json.dumps(document(made), indent=1))
    else:
        click.echo(f"version {made.version} of both models is served: a rollback to {version}")
        click.echo("runs do not release the models that it replaced again; to serve one, roll back to it")


@click.command(short_help="Trace a bundle or a version: data, code, libraries, executions, verdicts.")
@click.argument("what", metavar="BUNDLE|VERSION")
@_of_a_workdir
def lineage(
    what: str, config: Path | None, data: str | None, overrides: tuple[str, ...], workdir: Path, as_json: bool
) -> None:
    """Say what a version was made from, by which executions, and what it replaced.

    BUNDLE is the folder of a bundle; VERSION the number of a version. Without the records of the run, the bundle's own
    statement is printed.
    """
    from edgetune.pipeline.history import lineage as history

    found = history.lineage(api.load_settings(config, data=data, overrides=overrides), workdir, what)
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(history.as_text(found)))
