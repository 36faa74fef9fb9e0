"""An inspection as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from edgetune.modules.core.untrusted_text import printable
from edgetune.modules.core.wording import counted
from edgetune.pipeline.inspect.inspection import Inspection
from edgetune.pipeline.report.words import size
from edgetune.pipeline.terminal.console import duration
from edgetune.pipeline.terminal.table import table

_FORMS = {"images": "class folders", "manifest": "a list of images", "tfrecords": "TFRecords"}
_SHOWN = 20


def as_text(inspection: Inspection) -> Iterator[str]:
    """Yield the lines."""
    found = inspection.as_json()
    yield f"{found['path']}: {_FORMS[found['kind']]}"
    yield from (f"  note: {printable(note)}" for note in found["notes"])
    yield from _counts(found)
    yield ""
    yield from _classes(found)
    yield ""
    if found["formats"]:
        formats = ", ".join(f"{name} {number:,}" for name, number in found["formats"].items())
        sides = (f"{found[key]['min']} to {found[key]['max']} (median {found[key]['median']})" for key in _SIDES)
        yield f"{formats}; {size(found['bytes'])}; shorter side {next(sides)} pixels, longer side {next(sides)}"
    yield from _rejected(found["rejected_files"])
    for item in found["findings"]:
        kind = " (allowed)" if item["allowed"] else " (informs)" if item["informs"] else ""
        yield f"finding{kind}: {item['name']}: {printable(item['cause'])}"
        yield f"  {'what to do' if item['informs'] else 'remedy'}: {item['remedy']}"
        yield from _pictures(item["pictures"])
    yield from (f"a run would stop: {printable(problem)}" for problem in found["problems"])
    if not found["findings"] and not found["problems"]:
        yield "no findings; near-duplicates are searched for in a run"
    yield _time(found["estimate"])


_SIDES = ("shorter_side", "longer_side")


def _counts(found: dict[str, Any]) -> Iterator[str]:
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in found["not_images_by_kind"].items())
    what = {"images": "file", "manifest": "line", "tfrecords": "record"}[found["kind"]]
    yield (
        f"{counted(found['files'], what)} = {counted(found['accepted'], 'image')} + {found['rejected']:,} rejected"
        + (f" ({found['left_out']:,} of them left out)" if found["left_out"] else "")
        + f" + {found['not_images']:,} that are not images"
        + (f" ({kinds})" if kinds else "")
    )


def _classes(found: dict[str, Any]) -> Iterator[str]:
    keys = [
        key for key in ("all", "train", "eval", "test") if any(key in c["splits"] for c in found["classes"].values())
    ]
    heads = ["class", *("to divide" if key == "all" else key for key in keys), "rejected"]
    rows = [
        [printable(name), *(f"{c['splits'].get(key, 0):,}" for key in keys), f"{c['rejected']:,}"]
        for name, c in found["classes"].items()
    ]
    yield from table([heads, *rows], "<>", "  ")
    if found["splits_made"]:
        yield f"  edgetune makes {', '.join(found['splits_made'])} of what is to divide, by data.splits"


def _pictures(listed: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a line on each of the first pictures of a finding: its class, the one that it looks like, its score."""
    for picture in listed[:_SHOWN]:
        labels = (
            f"{picture['given']}, looks like {picture['looks_like']}" if picture["looks_like"] else picture["given"]
        )
        score = "" if picture["score"] is None else f"{picture['score']:.3g}"
        yield printable("    " + "  ".join(filter(None, [picture["file"], labels, score])))
    if len(listed) > _SHOWN:
        yield f"    and {len(listed) - _SHOWN:,} more; --json lists them"


def _rejected(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    yield from (f"rejected: {printable(row['path'])}: {printable(row['reason'])}" for row in rows[:_SHOWN])
    if len(rows) > _SHOWN:
        yield f"and {len(rows) - _SHOWN:,} more rejected; --json lists all"


def _time(found: dict[str, float] | None) -> str:
    if found is None:
        return "time of a run: not estimated, no image can be read"
    whole, reading = (duration(found[key]) for key in ("seconds", "read_seconds"))
    return (
        f"time of a run here: up to about {whole}, of which reading {reading}; an estimate for "
        f"{found['cores']:.0f} cores and no GPU, all epochs, without training.baselines"
    )
