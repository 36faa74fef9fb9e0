"""Run work that releases the GIL, such as decoding and compressing, on all cores of this process."""

from __future__ import annotations

import functools
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Generic, ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

# Calls running or queued per thread: enough that no thread is idle while results are returned in order.
_CALLS_PER_THREAD = 3


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


class InOrder(Generic[_Arguments, _Result]):
    """Thread pool that returns the results of its calls in call order, with a bounded number of them pending.

    An exception of a call is raised when its result is due.

    Args:
        function: The function to call.
        threads: Number of simultaneous calls; by default one per core.
    """

    def __init__(self, function: Callable[_Arguments, _Result], threads: int | None = None) -> None:
        self._function, self._threads = function, threads or cores()
        self._calls: deque[Future[_Result]] = deque()

    def call(self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Iterator[_Result]:
        """Start a call, and yield the results that are due, of this call or of earlier ones."""
        self._calls.append(_pool(self._threads).submit(self._function, *args, **kwargs))
        while self._calls and (len(self._calls) > _CALLS_PER_THREAD * self._threads or self._calls[0].done()):
            yield self._calls.popleft().result()

    def rest(self) -> Iterator[_Result]:
        """Wait for the remaining results and yield them."""
        while self._calls:
            yield self._calls.popleft().result()


class Budget:
    """Limit on a resource that all threads share, such as memory for pixels."""

    def __init__(self) -> None:
        self._used = 0
        self._freed = threading.Condition()

    @contextmanager
    def spend(self, amount: int, limit: int) -> Iterator[None]:
        """Hold `amount` inside the context; see `take`."""
        self.take(amount, limit)
        try:
            yield
        finally:
            self.give(amount)

    def take(self, amount: int, limit: int) -> None:
        """Hold `amount` until `give`, after waiting until the total is within `limit`.

        An amount larger than the limit waits until nothing else is held.
        """
        with self._freed:
            self._freed.wait_for(lambda: not self._used or self._used + amount <= limit)
            self._used += amount

    def give(self, amount: int) -> None:
        """Give back what was taken, in any thread."""
        with self._freed:
            self._used -= amount
            self._freed.notify_all()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "edgetune")


class SharedContext:
    """Process-wide change shared by several threads: the first to enter applies it, the last to leave reverts it.

    With a context for each thread, one thread could restore what another one had set.

    Args:
        make: Returns a context manager that applies the change on entering and reverts it on leaving.
    """

    def __init__(self, make: Callable[..., AbstractContextManager[Any]]) -> None:
        self._make, self._lock, self._inside = make, threading.Lock(), 0
        self._context: AbstractContextManager[Any] = nullcontext()

    @contextmanager
    def __call__(self, *arguments: Any) -> Iterator[None]:
        """Apply the change inside the context, to all threads; the first thread's arguments are passed to `make`."""
        with self._lock:
            if not self._inside:
                self._context = self._make(*arguments)
                self._context.__enter__()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._context.__exit__(None, None, None)


@contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


without_warnings = SharedContext(_no_warnings)
"""Context that silences warnings in all threads."""
