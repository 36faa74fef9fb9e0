"""Run the demo in this process, and attribute every second of it to a component and a kind of work."""

from __future__ import annotations

import functools
import importlib
import json
import resource
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

IMPORTS, MODEL, BEAM, EXECUTOR, REPORT, LAUNCHER = "imports", "model", "beam", "executor", "report", "launcher"
_PRIORITY = (IMPORTS, MODEL, BEAM, EXECUTOR, REPORT)
"""Time counts for the first of these kinds that is open, otherwise for the launcher."""
OUTSIDE = "outside"
CLOCKS = ("wall clock", "processor")

Seconds = dict[tuple[str, str], tuple[float, float]]
"""Seconds by each of `CLOCKS`, by component (or `OUTSIDE`) and kind."""


class Spans:
    """Records when kinds of work begin and end, in any thread."""

    def __init__(self) -> None:
        self._events: list[tuple[float, float, str, str, int]] = []
        self._open: Counter[str] = Counter()

    def mark(self, kind: str, step: int, node: str = "") -> None:
        """Record that `kind` begins (step 1) or ends (step -1)."""
        self._open[kind] += step
        self._events.append((time.monotonic(), _processor_seconds(), kind, node, step))

    @contextmanager
    def span(self, kind: str) -> Iterator[None]:
        """Record the context as a span of `kind`."""
        self.mark(kind, 1)
        try:
            yield
        finally:
            self.mark(kind, -1)

    def close(self, kind: str) -> None:
        """End all open spans of `kind`."""
        while self.is_open(kind):
            self.mark(kind, -1)

    def is_open(self, kind: str) -> bool:
        """Return whether a span of `kind` is open."""
        return self._open[kind] > 0

    def marking(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `function` so that every call is a span of `kind`."""

        @functools.wraps(function)
        def marked(*arguments: Any, **named: Any) -> Any:
            with self.span(kind):
                return function(*arguments, **named)

        return marked

    def seconds(self) -> Seconds:
        """Attribute every second exactly once, and return the sums."""
        found: Seconds = defaultdict(lambda: (0.0, 0.0))
        open_spans: Counter[str] = Counter()
        node, events = OUTSIDE, sorted(self._events, key=lambda event: event[0])
        found[OUTSIDE, LAUNCHER] = 0.0, events[0][1]  # processor time used before the first event
        for (wall, processor, kind, of, step), (until, processor_until, *_) in zip(events, events[1:], strict=False):
            if kind == LAUNCHER:
                node = of if step > 0 else OUTSIDE
            open_spans[kind] += step
            counted = next((kind for kind in _PRIORITY if open_spans[kind] > 0), LAUNCHER)
            before = found[node, counted]
            found[node, counted] = before[0] + until - wall, before[1] + processor_until - processor
        return found


def watched_run(workdir: Path, overrides: list[str], out: Path) -> None:
    """Run the demo in this process as the command line does, and write lists of component, kind and seconds."""
    spans = Spans()
    spans.mark(OUTSIDE, 1)
    with ExitStack() as stack:
        _watch_imports(spans, stack)
        from edgetune.pipeline.config.load import load
        from edgetune.pipeline.local import runner
        from edgetune.pipeline.report import write_report
        from edgetune.pipeline.terminal.console import Console

        class Watched(Console):
            def started(self, node_id: str) -> None:
                super().started(node_id)
                spans.mark(LAUNCHER, 1, node_id)

            def finished(self, node_id: str, state: Any) -> None:
                spans.mark(LAUNCHER, -1, node_id)
                super().finished(node_id, state)

            def __enter__(self) -> Console:
                _watch_executors(spans, stack)  # the modules that it patches are imported by now
                return super().__enter__()

        stack.enter_context(mock.patch.object(runner, "Console", Watched))
        stack.enter_context(mock.patch.object(runner, "write_report", spans.marking(REPORT, write_report)))
        runner.run(load(None, overrides, None), workdir=workdir)
    spans.mark(OUTSIDE, -1)
    listed = [[*key, *figures] for key, figures in spans.seconds().items()]
    out.write_text(json.dumps(listed), encoding="utf-8")


def _watch_imports(spans: Spans, stack: ExitStack) -> None:
    """Record the import of modules that are not loaded yet; nested imports are part of the outermost."""
    bootstrap: Any = importlib._bootstrap  # no public hook shows the end of an import
    load, depth = bootstrap._find_and_load, threading.local()

    def watched(name: str, import_: Any) -> Any:
        if getattr(depth, "is_inside", False):
            return load(name, import_)
        depth.is_inside = True
        try:
            with spans.span(IMPORTS):
                return load(name, import_)
        finally:
            depth.is_inside = False

    stack.enter_context(mock.patch.object(bootstrap, "_find_and_load", watched))


def _watch_executors(spans: Spans, stack: ExitStack) -> None:
    import apache_beam as beam
    from tfx.orchestration.portable import python_executor_operator

    from edgetune.components.edge_exporter import executor as edge_exporter
    from edgetune.modules.conversion.convert import convert
    from edgetune.modules.core import progress
    from edgetune.modules.serving import export

    execute, start, run = python_executor_operator.run_with_executor, beam.Pipeline.__init__, beam.Pipeline.run

    def executed(*arguments: Any, **named: Any) -> Any:
        with spans.span(EXECUTOR):
            try:
                return execute(*arguments, **named)
            finally:
                spans.close(BEAM)  # for a pipeline that was built but never run

    def started(pipeline: beam.Pipeline, *arguments: Any, **named: Any) -> None:
        if spans.is_open(EXECUTOR):  # not the Beam pipeline that runs the components
            spans.mark(BEAM, 1)
        start(pipeline, *arguments, **named)

    def ran(pipeline: beam.Pipeline, *arguments: Any, **named: Any) -> Any:
        try:
            return run(pipeline, *arguments, **named)
        finally:
            if spans.is_open(BEAM):
                spans.mark(BEAM, -1)

    def converted(*arguments: Any, **named: Any) -> Any:
        try:
            return convert(*arguments, **named)
        finally:
            spans.close(MODEL)

    def reported(text: str) -> None:
        # The converter's first report, after its process has imported what it needs.
        if text.startswith("converting to") and not spans.is_open(MODEL):
            spans.mark(MODEL, 1)

    for owner, name, replacement in (
        (python_executor_operator, "run_with_executor", executed),
        (beam.Pipeline, "__init__", started),
        (beam.Pipeline, "run", ran),
        (edge_exporter, "convert", converted),
        (export, "export_saved_model", spans.marking(MODEL, export.export_saved_model)),
    ):
        stack.enter_context(mock.patch.object(owner, name, replacement))
    stack.enter_context(progress.listening(reported))


def _processor_seconds() -> float:
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
