"""A child process that answers question after question, with a bound on the time of each, and on its memory.

What ends the process, or takes too long, ends all further questions, so that no answer is taken for that to another.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from typing import IO, Any

from edgetune.modules.core import child_process

_EVERY = 0.05  # seconds between two looks at the process's memory


class Ended(Exception):
    """The process has ended; the message is how, and follows its name."""


class AnsweringProcess:
    """A module of edgetune in a child process, which ends with this object.

    Args:
        module: Dotted name of the module; it reads questions from standard input, and writes answers to standard
            output.
        memory: Resident memory in bytes above which it is stopped; None for no bound here.
    """

    def __init__(self, module: str, memory: int | None = None) -> None:
        self._memory, self._lock, self._end = memory, threading.Lock(), ""
        self.process = child_process.start(
            module, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        weakref.finalize(self, _end, self.process)

    def ask(self, question: bytes, read: Callable[[IO[bytes]], bytes | None], seconds: float) -> bytes:
        """Return the answer to a question.

        Args:
            question: What is written.
            read: Reads the answer; returns None if it is not whole.
            seconds: Wall-clock time for it.

        Raises:
            Ended: The process has ended, now or earlier, or was stopped because of a bound.
        """
        with self._lock:
            return self._ask(question, read, seconds)

    def _ask(self, question: bytes, read: Callable[[IO[bytes]], bytes | None], seconds: float) -> bytes:
        if self._end:
            raise Ended(self._end)
        process, done, why = self.process, threading.Event(), list[str]()
        assert process.stdin is not None and process.stdout is not None
        watch = threading.Thread(target=self._watch, args=(done, seconds, why), daemon=True)
        watch.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # the child has ended, as is seen below
                process.stdin.write(question)
                process.stdin.flush()
            answer = read(process.stdout)
        except BaseException:  # such as Ctrl-C: this answer would be taken for that to the next question
            process.kill()
            self._end = "was stopped in the middle of an answer"
            raise
        finally:
            done.set()
            watch.join()
        if answer is not None:
            return answer
        process.kill()
        code = process.wait()
        how = f"{'is stopped by' if code < 0 else 'ends with'} {child_process.ending(code)}"
        self._end = why[0] if why else how
        raise Ended(self._end)

    def _watch(self, done: threading.Event, seconds: float, why: list[str]) -> None:
        """Stop the process when it exceeds a bound."""
        late = time.monotonic() + seconds
        while not done.wait(max(min(_EVERY if self._memory else seconds, late - time.monotonic()), 0)):
            if self._memory and child_process.peak_memory(self.process.pid) > self._memory:
                why.append(f"takes more than {self._memory >> 20} MB of memory, and was stopped")
            elif time.monotonic() >= late:
                why.append(f"takes more than {seconds:g} seconds, and was stopped")
            else:
                continue
            self.process.kill()
            return


def _end(process: subprocess.Popen[Any]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()
