"""Run Pillow in child processes, which a fault in a decoder may end.

The codecs of a dozen formats are C and C++, and read what anybody has made. If one ends its process, the file that it
was reading is refused, and the next one gets a new process. Each thread that reads uses a process of its own; idle ones
end after a minute.

The parent writes a line of JSON (`bytes`, `verify`, `max_pixels`, `max_side`, `background`) and the file, and gets a
line with the number of pixels. It answers with a line when they may be decoded, and gets a line with height and width,
and the pixels. Instead of either line there may be one with the reason for which the file is refused.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgetune.modules.core import bounds, child_process
from edgetune.modules.core.errors import MemoryShortage
from edgetune.modules.images import pillow_read
from edgetune.modules.images.pillow_read import Unusable
from edgetune.modules.images.reading import Reading

_CHANNELS = 3
_READY, _GO = b"ready\n", b"go\n"
_IDLE_SECONDS, _ENDING_SECONDS = 60, 10
# Of a pipe of the usual 64 kB, a file of many megabytes takes hundreds of turns. The number is Linux's F_SETPIPE_SZ.
_SET_PIPE_SIZE, _PIPE_BYTES = 1031, 1 << 20
_LINE = 1 << 16  # bytes of an answer; a reason is one line of text

_idle: list[subprocess.Popen[bytes]] = []
# A fork has the pipes of its parent, whose answers it must not take.
os.register_at_fork(after_in_child=_idle.clear)


@atexit.register
def _end_idle() -> None:
    while _idle:
        _end(_idle.pop())


class _Gone(Exception):
    """The process ended before it was given a file."""


class _Killed(Exception):
    """Somebody else killed the process: the system, for lack of memory, or an operator."""


def read(
    content: bytes, reading: Reading, hold: Callable[[int], AbstractContextManager[None]], verify: bool = False
) -> np.ndarray:
    """Do what `pillow_read.pixels` does, or `pillow_read.verify`, in a child process.

    Raises:
        Unusable: As of these; or the file ends the process that decodes it, or takes too long.
        MemoryShortage: The process was killed twice (SIGKILL): no file of this size needs what the system lacks.
        RuntimeError: No process can be started.
    """
    killed = False
    while True:
        process = _take()
        try:
            answer = _ask(process, content, reading, hold, verify)
        except _Gone:  # it was idle for too long
            _end(process)
            continue
        except _Killed:
            _end(process)
            if killed:
                raise MemoryShortage(
                    "the process that decodes images was killed twice (SIGKILL), most likely because memory ran out",
                    "close other programs, give the machine or the container more memory, or lower data.max_pixels; "
                    "then run the same command again",
                ) from None
            killed = True
            continue
        except Unusable:
            _idle.append(process) if process.poll() is None else _end(process)
            raise
        except BaseException:  # such as Ctrl-C: its answer would be taken for that to the next file
            _end(process)
            raise
        _idle.append(process)
        return answer


def _take() -> subprocess.Popen[bytes]:
    with contextlib.suppress(IndexError):
        while (process := _idle.pop()).poll() is not None:  # something else has ended it
            _end(process)
        return process
    process = child_process.start(__name__, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin is not None and process.stdout is not None
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # the user has too many large ones
            fcntl.fcntl(pipe, _SET_PIPE_SIZE, _PIPE_BYTES)
    if process.stdout.readline(_LINE) != _READY:
        code = _end(process)
        raise RuntimeError(f"the process that decodes images does not start: {child_process.ending(code)}")
    return process


def _ask(
    process: subprocess.Popen[bytes],
    content: bytes,
    reading: Reading,
    hold: Callable[[int], AbstractContextManager[None]],
    verify: bool,
) -> np.ndarray:
    assert process.stdin is not None and process.stdout is not None
    options = {"max_pixels": reading.max_pixels, "max_side": reading.max_side, "background": reading.background}
    request = json.dumps({"bytes": len(content), "verify": verify, **options}).encode()
    with _bounded(process) as late:
        with contextlib.suppress(BrokenPipeError):  # the process has ended, as is seen below
            process.stdin.write(request + b"\n" + content)
            process.stdin.flush()
        found = _answer(process, late)
    with hold(found["pixels"]), _bounded(process) as late:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(_GO)
            process.stdin.flush()
        height, width = _answer(process, late)["shape"]
        whole = process.stdout.read(height * width * _CHANNELS)
        if len(whole) != height * width * _CHANNELS:
            raise Unusable(_ending(process, late))
    return np.frombuffer(whole, np.uint8).reshape(height, width, _CHANNELS)


@contextmanager
def _bounded(process: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    """Stop the process if the context takes too long; the event says whether it did."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(bounds.DECODE_SECONDS, stop)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _answer(process: subprocess.Popen[bytes], late: threading.Event) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline(_LINE)
    if not line.endswith(b"\n"):
        reason = _ending(process, late)
        if process.returncode == 0:
            raise _Gone
        raise Unusable(reason)
    answer: dict[str, Any] = json.loads(line)
    if "fault" in answer:
        raise Unusable(answer["fault"])
    return answer


def _ending(process: subprocess.Popen[bytes], late: threading.Event) -> str:
    closed = False
    try:
        code = process.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:  # it has closed its output, and goes on
        process.kill()
        code, closed = process.wait(), True
    if late.is_set():
        return f"decoding it takes more than {bounds.DECODE_SECONDS} seconds"
    if code == -signal.SIGKILL and not closed:
        raise _Killed
    return f"it ends the process that decodes it ({child_process.ending(code)})"


def _end(process: subprocess.Popen[bytes]) -> int:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    return process.wait()


def main() -> None:
    """Answer until the input ends, or for too long nothing is asked; entry point of the child process."""
    given, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # native code may print
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end is the end of the input
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    started = _data_bytes()
    _tell(answers, _READY)
    # Nothing is buffered between two files: the parent writes one only after the answer to the last.
    while select.select([given], [], [], _IDLE_SECONDS)[0] and (line := given.readline()):
        request = json.loads(line)
        content = given.read(request.pop("bytes"))
        reading = Reading(request["max_pixels"], request["max_side"], tuple(request["background"]))
        most, hard = started + bounds.decoder_bytes(reading.max_pixels), resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))
        _limit_cpu()

        @contextmanager
        def asked(number: int) -> Iterator[None]:
            _tell(answers, json.dumps({"pixels": number}).encode() + b"\n")
            if given.readline() != _GO:
                sys.exit()  # the parent has ended
            yield

        try:
            found = (pillow_read.verify if request["verify"] else pillow_read.pixels)(content, reading, asked)
        except Unusable as error:
            _tell(answers, json.dumps({"fault": str(error)[:1000]}).encode() + b"\n")
        else:
            _tell(answers, json.dumps({"shape": found.shape[:2]}).encode() + b"\n", np.ascontiguousarray(found).data)


def _limit_cpu() -> None:
    """Let the system end this process in a file that never ends, if the parent, which has the clock, is gone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 2 * bounds.DECODE_SECONDS * (os.cpu_count() or 1)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds if hard < 0 else min(seconds, hard), hard))


def _tell(answers: IO[bytes], *parts: Any) -> None:
    for part in parts:
        answers.write(part)
    answers.flush()


def _data_bytes() -> int:
    """Return what counts for RLIMIT_DATA of this process so far, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmData:")[2].split()[0]) << 10


if __name__ == "__main__":
    main()
