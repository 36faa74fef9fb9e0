"""A progress bar on standard error, where a person watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


def is_watched(prints: bool) -> bool:
    """Return whether a bar is of use: standard error is a terminal, and no lines are printed to one meanwhile.

    Args:
        prints: Whether lines are printed to standard output meanwhile.
    """
    watched = sys.stderr is not None and sys.stderr.isatty()
    return watched and not (prints and sys.stdout.isatty())


@contextmanager
def bar(what: str, total: int | None, out: TextIO | None) -> Iterator[Callable[[], None]]:
    """Show how much is done, inside the context; what others write to standard error appears above it.

    Args:
        what: What is counted, such as `images`.
        total: How many there are; None if it is not known.
        out: Where to; None shows nothing.

    Yields:
        A function to call for each that is done.
    """
    if out is None:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn())
    shown = Console(file=out, force_terminal=True)
    with Progress(*columns, console=shown, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
