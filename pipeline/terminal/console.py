"""Console output while the pipeline runs: one line per component, with the time it takes.

On a terminal, the line of the running component is live: it shows the elapsed time and the reported progress. Elsewhere
(in a file, in continuous integration), each component has one plain line when it ends. Progress is then at most one
line every few seconds, and during a long silence a line shows that the component is still running.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal, TextIO

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from edgetune.modules.core.untrusted_text import for_terminal

State = Literal["done", "cached", "failed", "interrupted", "skipped"]

_MARKS: dict[str, tuple[str, str]] = {
    "done": ("✓", "green"),
    "cached": ("≡", "cyan"),
    "failed": ("✗", "bold red"),
    "interrupted": ("–", "bold yellow"),
    "skipped": ("–", "dim"),
}
_FRAMES_PER_SECOND = 5


class Console:
    """Progress display of one run. Every method may be called from any thread.

    Use it as a context manager: on exit, unfinished components are shown as failed, or as interrupted, and planned
    components that never started are listed.

    Args:
        out: Output stream. Descriptors 1 and 2 belong to the log while a pipeline runs, so this is the stream that
            `pipeline.terminal.log_capture.capture` yields.
        nodes: Ids of the planned components, in the order in which they run.
        live: Whether to draw live lines; by default, if `out` is a terminal. Turn it off if something else, such as
            the log with `--verbose`, writes to the same terminal.
        detail_seconds: Without live lines, the minimum time between two progress lines of one component.
        silence_seconds: Without live lines, the maximum time between two lines while a component runs.
        clock: Returns seconds; for tests.
    """

    def __init__(
        self,
        out: TextIO,
        nodes: Sequence[str],
        live: bool | None = None,
        detail_seconds: float = 5.0,
        silence_seconds: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self._live_wanted = terminal if live is None else live
        self._rich = RichConsole(file=out, force_terminal=terminal or self._live_wanted, highlight=False)
        self._planned = list(nodes)
        self._width = max([len(node) for node in nodes], default=0)
        self._started: dict[str, float] = {}
        self._finished: set[str] = set()
        self._details: dict[str, str] = {}
        self._results: dict[str, tuple[str, bool]] = {}
        self._last_detail: dict[str, float] = {}
        self._detail_seconds = detail_seconds
        self._silence_seconds = silence_seconds
        self._clock = clock
        self._printed = clock()
        self._left = threading.Event()
        self._watch = threading.Thread(target=self._break_silence, name="console", daemon=True)
        # Guards the fields above. Never hold it while rich prints: rich calls `_draw`, which takes this lock, while
        # holding its own.
        self._lock = threading.Lock()
        self._spinner = Spinner("dots", style="cyan")
        self._live: Live | None = None

    def __enter__(self) -> Console:
        if self._live_wanted:
            self._live = Live(
                get_renderable=self._draw,
                console=self._rich,
                refresh_per_second=_FRAMES_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        else:
            self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        if self._watch.is_alive():
            self._watch.join()
        for node in [node for node in self._started if node not in self._finished]:
            self.finished(node, "interrupted" if kind is not None and issubclass(kind, KeyboardInterrupt) else "failed")
        if self._live is not None:
            self._live.stop()
            self._live = None
        if missing := [node for node in self._planned if node not in self._finished]:
            self.line(f"  – not run: {', '.join(missing)}")

    def started(self, node_id: str) -> None:
        """Show that a component has started."""
        with self._lock:
            self._started[node_id] = self._clock()
            self._finished.discard(node_id)
            self._details.pop(node_id, None)
            self._results.pop(node_id, None)
            self._width = max(self._width, len(node_id))

    def finished(self, node_id: str, state: State) -> None:
        """Write the final line of a component. Later calls for the same component are ignored.

        Raises:
            ValueError: The state is unknown.
        """
        if state not in _MARKS:
            raise ValueError(f"{state!r} is not one of {', '.join(_MARKS)}")
        with self._lock:
            if node_id in self._finished:
                return
            self._finished.add(node_id)
            result, well = self._results.get(node_id, ("", True)) if state == "done" else ("", True)
            mark, style = _MARKS[state] if well else ("–", "bold yellow")
            text = Text.assemble("  ", (mark, style), f" {node_id:<{self._width}}  ")
            text.append(f"{self._elapsed(node_id):>8}", "dim" if state in ("cached", "skipped") else "")
            if state != "done":
                text.append(f"  {state}", style)
            if state == "failed" and (detail := self._details.get(node_id)):
                text.append(f"  after: {detail}", "dim")
            if result:
                text.append(f"  {result}", "dim" if well else style)
        self._print(text)

    def detail(self, text: str) -> None:
        """Show the progress of the running component that started last; do nothing if none is running."""
        with self._lock:
            running = self._running()
            if not running:
                return
            node, now, text = running[-1], self._clock(), for_terminal(text)
            self._details[node] = text
            if self._live is not None or now - self._last_detail.get(node, -math.inf) < self._detail_seconds:
                return
            self._last_detail[node] = now
        self._report(node)

    def concluded(self, text: str, well: bool = True) -> None:
        """Keep what came of the running component that started last, for its final line.

        Args:
            text: The result in a few words.
            well: If not, the final line has no tick.
        """
        with self._lock:
            if running := self._running():
                self._results[running[-1]] = for_terminal(text), well

    def line(self, text: str = "") -> None:
        """Write a line of text above the live lines."""
        self._print(Text(for_terminal(text)))

    def _report(self, node: str) -> None:
        with self._lock:
            line = f"    {node:<{self._width}}  {self._elapsed(node):>8}  {self._details.get(node, '')}"
        self._print(Text(line.rstrip()))

    def _break_silence(self) -> None:
        while not self._left.wait(self._silence_seconds / 4):
            with self._lock:
                running = self._running()
            if running and self._clock() - self._printed >= self._silence_seconds:
                self._report(running[-1])

    def _print(self, text: Text) -> None:
        self._printed = self._clock()
        # No wrapping: terminals do it better, and a log has no width.
        self._rich.print(text, soft_wrap=True)

    def _running(self) -> list[str]:
        return [node for node in self._started if node not in self._finished]

    def _elapsed(self, node: str) -> str:
        return duration(self._clock() - self._started[node]) if node in self._started else ""

    def _draw(self) -> Group:
        with self._lock:
            lines: list[Table | Text] = []
            for node in self._running():
                lines.append(self._live_line(node, self._details.get(node, "")))
            waiting = [node for node in self._planned if node not in self._started and node not in self._finished]
            if waiting and not lines:  # before the first, and between two
                lines.append(self._live_line(waiting[0], "starting"))
            if waiting:
                ended = sum(node in self._finished for node in self._planned)
                text = f"    {ended} of {len(self._planned)} · next: {', '.join(waiting)}"
                lines.append(Text(text, "dim", no_wrap=True, overflow="ellipsis"))
            return Group(*lines)

    def _live_line(self, node: str, detail: str) -> Table:
        grid = Table.grid(padding=(0, 1))
        for width in (1, 1, self._width + 1):
            grid.add_column(width=width, no_wrap=True)
        grid.add_column(width=8, no_wrap=True, justify="right")
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row("", self._spinner, node, self._elapsed(node), Text(detail, "dim"))
        return grid


def duration(seconds: float) -> str:
    """Format an elapsed time: `4.2 s`, `1:05 min`, `2:03:09 h`."""
    if seconds < 60:
        # Truncated, not rounded: 59.96 s is less than a minute.
        return f"{int(seconds * 10) / 10:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
