"""`edgetune doctor`: check this machine before a run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from edgetune.modules.core.errors import MachineError
from edgetune.pipeline import api
from edgetune.pipeline.commands.settings_options import settings_options


@click.command(short_help="Check this machine before a run: libraries, memory, disk, weights, credentials.")
@settings_options
@click.option(
    "--workdir",
    type=click.Path(path_type=Path),
    default=Path("workdir"),
    show_default=True,
    metavar="DIR",
    help="Folder of the runs.",
)
@click.option("--deep", is_flag=True, help="Import the libraries of a run too, in a process that may break.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
def doctor(
    config: Path | None, data: str | None, overrides: tuple[str, ...], workdir: Path, deep: bool, as_json: bool
) -> None:
    """Check that a run with a configuration can work on this machine, and print the remedy for what is missing.

    `missing` is what a run would fail for, and the exit code is then 11; a `warning` may matter. Nothing is changed,
    and TensorFlow is imported with --deep alone.
    """
    from edgetune.pipeline.doctor import environment, machine, needs

    settings = api.load_settings(config, data=data, overrides=overrides)
    done = []
    for checks in (
        environment.check(),
        environment.imports() if deep else (),
        machine.check(workdir),
        needs.check(settings),
    ):
        for check in checks:
            done.append(check)
            if not as_json:
                click.echo(check)
    if as_json:
        click.echo(json.dumps({"checks": [asdict(check) for check in done]}, indent=1))
    if missing := [check.name for check in done if check.outcome == "missing"]:
        raise MachineError(f"a run would fail here: {', '.join(missing)}", "see the remedies above")
