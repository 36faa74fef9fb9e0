"""A suggestion as text for a terminal."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from edgetune.modules.core.untrusted_text import printable
from edgetune.modules.core.wording import counted
from edgetune.pipeline.report.words import interval, milliseconds, percent, size
from edgetune.pipeline.suggest.choice import not_dominated
from edgetune.pipeline.suggest.suggestion import Suggestion
from edgetune.pipeline.terminal.table import table


def as_text(found: Suggestion, data: str, config: str | None = None) -> Iterator[str]:
    """Yield the lines.

    Args:
        found: The suggestion.
        data: What was looked at, for the command of a run.
        config: The configuration file, for the command of a run; None for none.
    """
    yield (
        f"accuracy of a linear head on frozen features, on {counted(found.images, 'image')} of {found.of:,} in "
        f"{counted(found.classes, 'class', 'classes')}, each answered by a head that has not seen it;"
    )
    yield f"latency and size of {found.variant}, {counted(found.threads, 'thread')} of {found.cpu}"
    yield ""
    yield from _table(found)
    yield "  * no other is better in one of the three and as good in the others"
    if found.missing:
        yield ""
        yield "not measured:"
        yield from (f"  {printable(one.name)}: {printable(one.reason)}" for one in found.missing)
    if found.pick is not None:
        yield ""
        yield f"pick: {found.candidates[found.pick.row].name}: {found.pick.reason}"
        texts = {name: v if isinstance(v, str) else json.dumps(v) for name, v in found.settings().items()}
        given = [f"--set {shlex.quote(f'{name}={text}')}" for name, text in texts.items()]
        named = f"--config {shlex.quote(config)} " if config else ""
        yield f"run it: edgetune run {named}--data {shlex.quote(data)} {' '.join(given)}"


def _table(found: Suggestion) -> list[str]:
    rows = [("  backbone", "accuracy", "95 % interval", "p50", "size", "")]
    for candidate, front in zip(found.candidates, not_dominated(found.candidates), strict=True):
        rows.append(
            (
                f"{'*' if front else ' '} {candidate.name}",
                percent(candidate.accuracy),
                interval(candidate.interval),
                milliseconds(candidate.ms),
                size(candidate.bytes),
                found.limits.beyond(candidate),
            )
        )
    return table(rows, "<>>>><", "  ")
