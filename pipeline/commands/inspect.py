"""`edgetune inspect`: say what a run would read, before any run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgetune.pipeline import api
from edgetune.pipeline.commands.settings_options import complete_setting


@click.command(short_help="Say what a run would read: classes, splits, findings, rejected files.")
@click.argument("data", metavar="DATA")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Configuration in YAML.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, such as data.min_side=32; repeatable.",
    shell_complete=complete_setting,
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@click.option(
    "--fix",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT.csv",
    help="Write a list of the images that can be read, to edit and to run with; no other file is touched.",
)
@click.option(
    "--write",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT.yaml",
    help="Write a configuration with comments, from what was seen, to edit and run with; with --fix, for that list.",
)
@click.option(
    "--deep",
    is_flag=True,
    help="Decode every image and ask the pretrained backbone: pictures that show little, near-duplicates, labels that "
    "are probably wrong.",
)
def inspect(
    data: str,
    config: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    fix: Path | None,
    write: Path | None,
    deep: bool,
) -> None:
    """Say what a run would read from DATA, a folder or a list, without a run and without TFX.

    The files in DATA are not touched. Exit code 0, also with findings; 3 if no run could use the data. If --deep fails,
    what was seen before is printed, and then the error.
    """
    from edgetune.pipeline.inspect import configuration
    from edgetune.pipeline.inspect.fix import command, has_groups, write_list
    from edgetune.pipeline.inspect.inspection import inspect as look_at
    from edgetune.pipeline.inspect.text import as_text

    if write is not None:
        configuration.check_new(write)  # a look at many images takes long
    further = []
    if deep:  # which imports TensorFlow
        from edgetune.pipeline.inspect import deep as deep_findings

        further.append(deep_findings.deep)
    settings = api.load_settings(config, data=data, overrides=overrides)
    found = look_at(settings, further)
    if fix is not None:
        write_list(found, fix)
    if write is not None:
        configuration.write_configuration(found, settings, write, fix)
    click.echo(json.dumps(found.as_json(), indent=1) if as_json else "\n".join(as_text(found)))
    if fix is not None and write is None:
        run = command(fix, config, overrides, settings.data.columns.given, has_groups(found))
        click.echo(f"wrote {fix}; edit it, then: {run}", err=as_json)
    if write is not None:
        click.echo(f"wrote {write}; edit it, then: {configuration.command(write)}", err=as_json)
    if found.failed is not None:
        raise found.failed
