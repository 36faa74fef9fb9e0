"""Work that releases Python's lock, such as decoding and compressing, on all cores of this process."""

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

# Calls under way or waiting, for each thread: enough that none stands idle while results are taken in their order.
_AHEAD = 3


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


class InOrder(Generic[_Arguments, _Result]):
    """Calls a function in threads. The results come in the order of the calls, and few of them wait at any time.

    An error of a call is raised when it is its result's turn.

    Args:
        function: What is called.
        threads: How many calls are made at a time; by default one for each core.
    """

    def __init__(self, function: Callable[_Arguments, _Result], threads: int | None = None) -> None:
        self._function, self._threads = function, threads or cores()
        self._calls: deque[Future[_Result]] = deque()

    def call(self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Iterator[_Result]:
        """Begins a call; the results whose turn it is, of this call or of earlier ones."""
        self._calls.append(_pool(self._threads).submit(self._function, *args, **kwargs))
        while self._calls and (len(self._calls) > _AHEAD * self._threads or self._calls[0].done()):
            yield self._calls.popleft().result()

    def rest(self) -> Iterator[_Result]:
        """All results that were not taken yet; waits for them."""
        while self._calls:
            yield self._calls.popleft().result()


class Budget:
    """What all threads together may use at a time, such as memory for pixels."""

    def __init__(self) -> None:
        self._used = 0
        self._freed = threading.Condition()

    @contextmanager
    def spend(self, amount: int, most: int) -> Iterator[None]:
        """Waits until the sum of what is used, with `amount`, is at most `most`; a larger amount waits to be alone."""
        with self._freed:
            self._freed.wait_for(lambda: not self._used or self._used + amount <= most)
            self._used += amount
        try:
            yield
        finally:
            with self._freed:
                self._used -= amount
                self._freed.notify_all()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "edgetune")


class SharedContext:
    """A change of the whole process that several threads want at a time: the first one in makes it, and the last one
    out takes it back. Otherwise a thread would put back what another one had set.

    Args:
        make: Gives a context manager that makes the change on entering and takes it back on leaving.
    """

    def __init__(self, make: Callable[..., AbstractContextManager[Any]]) -> None:
        self._make, self._lock, self._inside = make, threading.Lock(), 0
        self._context: AbstractContextManager[Any] = nullcontext()

    @contextmanager
    def __call__(self, *arguments: Any) -> Iterator[None]:
        """Make the change meanwhile, in all threads; the arguments of the first one in go to `make`."""
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
"""Nothing warns meanwhile, in no thread."""
