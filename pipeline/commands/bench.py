"""`edgetune bench`: measure the variants of an edge bundle on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetune.modules.core.child_process import hide_gpus
from edgetune.pipeline.commands import model_options

if TYPE_CHECKING:
    from edgetune.modules.bundle.signing import Trust


@click.command(short_help="Measure every variant of an edge bundle on this machine: start, latency, memory.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    multiple=True,
    default=(1,),
    show_default=True,
    metavar="N",
    help="Threads of the interpreter; repeatable.",
)
@click.option(
    "--runs", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="Answers that are measured."
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the results.  [default: BUNDLE.bench]"
)
@click.option("--sign-key", metavar="FILE", help="Private key that signs the results, as push.sign_key.")
@model_options.trust
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
def bench(
    bundle: Path,
    threads: tuple[int, ...],
    runs: int,
    out: Path | None,
    sign_key: str | None,
    as_json: bool,
    trust: Trust,
) -> None:
    """Measure with LiteRT's own benchmark, each variant in a process of its own; keep the results beside the bundle.

    BUNDLE is the folder of a pushed bundle, which is only read. Times are those of this machine and not of a phone. To
    refuse a variant that is too slow in a run, set edge.max_latency_ms.
    """
    from edgetune.modules.bundle import bench as measuring
    from edgetune.pipeline.classify.model import check_is_one

    check_is_one(bundle, "edgetune bench")
    hide_gpus()
    folder = bundle.resolve()
    place = folder.with_name(folder.name + measuring.ENDING) if out is None else out
    measuring.check_place(folder, place, sign_key, trust.tool)
    if not as_json:
        click.echo(_row("variant", "threads", "start", "first", "p50", "p95", "memory"))

    def tell(variant: str, found: Any) -> None:
        if not as_json:
            times = (f"{value:,.2f} ms" for value in (found.start_ms, found.first_ms, found.p50_ms, found.p95_ms))
            click.echo(_row(variant, str(found.threads), *times, f"{found.memory / 1e6:,.1f} MB"))

    document = measuring.bench(folder, threads, runs, tell, trust=trust)
    path = measuring.write(document, place, sign_key, trust.tool)
    if as_json:
        click.echo(json.dumps(document, indent=1))
        return
    machine = document["machine"]
    click.echo(f"{machine['cpu']}, {machine['cores']} cores; {document['runtime']}, {document['tool']}")
    for name, facts in document["variants"].items():
        if facts["in_run"]:
            told = facts["in_run"]
            click.echo(f"in the run, {name}: p50 {told.get('p50_ms')} ms, p95 {told.get('p95_ms')} ms")
    click.echo(f"results    {path}" + ("" if sign_key is None else ", signed"))


def _row(name: str, *cells: str) -> str:
    return f"{name:<8}" + "".join(f"  {cell:>11}" for cell in cells)
