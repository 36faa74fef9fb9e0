"""`edgetune gc`: remove from a workdir what no later run needs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command(short_help="Remove from a workdir what no later run needs.")
@click.option(
    "--workdir",
    type=click.Path(path_type=Path),
    default=Path("workdir"),
    show_default=True,
    metavar="DIR",
    help="Folder of `edgetune run`.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="Newest runs and pushed versions to keep whole.",
)
@click.option(
    "--days",
    type=click.IntRange(min=0),
    default=90,
    show_default=True,
    metavar="N",
    help="Keep evaluations of models blessed so many days before the last; not less than evaluation.compare_days.",
)
@click.option("--delete", is_flag=True, help="Remove it. Without this flag, it is only listed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def gc(workdir: Path, keep: int, days: int, delete: bool, as_json: bool) -> None:
    """List what no later run in a workdir needs, or remove it.

    What is served, the last blessed model, and all from which they were made stay, and so does everything of the newest
    runs, from which later runs are cached. The records of what is removed stay, too.
    """
    from edgetune.pipeline.local.garbage import collect
    from edgetune.pipeline.report.words import size

    found = collect(workdir.resolve(), keep=keep, days=days, delete=delete)
    total = sum(one.bytes or 0 for one in found)
    if as_json:
        print(json.dumps({"deleted": delete, "bytes": total, "found": [asdict(one) for one in found]}, indent=2))
        return
    for one in found:
        print(f"{'' if one.bytes is None else size(one.bytes):>10}  {one.what:<16}  {one.path}")
    if not found:
        print("nothing to remove")
    else:
        print(f"{'removed' if delete else 'to remove, with --delete'}: {size(total)}")
