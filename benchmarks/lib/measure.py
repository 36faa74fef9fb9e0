"""Measure this process's memory, and name the processor."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from types import TracebackType

_EVERY_SECONDS = 0.05


class Memory:
    """Context manager that records the peak of anonymous memory; the kernel can reclaim pages of mapped files."""

    def __enter__(self) -> Memory:
        self._before = _anonymous_kb()
        self._seen = [self._before]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def peak_mb(self) -> float:
        """Peak, less the memory in use when the context began."""
        return self.peaks_mb(1)[0]

    def peaks_mb(self, parts: int) -> list[float]:
        """Return the same for each of `parts` intervals of equal length."""
        bounds = [len(self._seen) * part // parts for part in range(parts + 1)]
        highest = [max(self._seen[first : last + 1]) for first, last in zip(bounds, bounds[1:], strict=False)]
        return [(kb - self._before) / 1024 for kb in highest]

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            self._seen.append(_anonymous_kb())


def cpu_name() -> str:
    """Return the processor's name as Linux reports it."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    return found[1] if found else "unknown CPU"


def _anonymous_kb() -> int:
    found = re.search(r"^RssAnon:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"), re.M)
    return int(found[1]) if found else 0
