"""Pillow in a process of its own: it reads as in this process, and what ends it refuses one file."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from edgetune.modules.core import bounds, child_process
from edgetune.modules.core.errors import MemoryShortage
from edgetune.modules.images import pillow_process, pillow_read, reader
from edgetune.modules.images.pillow_read import Unusable
from edgetune.modules.images.reading import Reading
from tests.helpers import crashing_decoder

READING = Reading(1_000_000, 64, (10, 20, 30))
_start = child_process.start


def encoded(kind: str, size: tuple[int, int] = (90, 40), mode: str = "RGB") -> bytes:
    rng = np.random.default_rng(size[0])
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def free(_: int) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


def read(content: bytes, reading: Reading = READING) -> np.ndarray:
    return pillow_process.read(content, reading, free)


def refusal(content: bytes) -> str:
    with pytest.raises(Unusable) as caught:
        read(content)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _own_processes() -> Iterator[None]:
    pillow_process._end_idle()
    yield
    pillow_process._end_idle()


@pytest.mark.parametrize("reading", [READING, Reading(1_000_000)])
def test_pixels_are_those_of_this_process(reading):
    for content in (encoded("WEBP"), encoded("TIFF"), encoded("GIF", mode="P"), encoded("PNG", mode="LA")):
        np.testing.assert_array_equal(read(content, reading), pillow_read.pixels(content, reading, free))
    assert len(pillow_process._idle) == 1


def test_refusals_are_those_of_this_process_and_cost_no_process():
    large = encoded("TIFF", (1001, 1000))
    for content in (b"text", large, encoded("WEBP")[:100], b"\xff\xd8\xff"):
        with pytest.raises(Unusable) as caught:
            pillow_read.pixels(content, READING, free)
        assert refusal(content) == str(caught.value)
    assert len(pillow_process._idle) == 1


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
        ("os._exit(3)", "exit code 3"),
    ],
)
def test_a_file_that_ends_the_decoder_is_refused_and_the_next_is_read(monkeypatch, what, how):
    started = crashing_decoder.start(monkeypatch, what)
    good = encoded("WEBP")
    expected = pillow_read.pixels(good, READING, free)
    np.testing.assert_array_equal(read(good), expected)
    assert refusal(encoded("GIF", mode="P")) == f"it ends the process that decodes it ({how})"
    np.testing.assert_array_equal(read(good), expected)
    assert len(started) == 2 and len(pillow_process._idle) == 1


def test_a_killed_decoder_reads_the_file_again_and_condemns_none(monkeypatch):
    good = encoded("GIF", mode="P")
    expected = pillow_read.pixels(good, READING, free)
    started = crashing_decoder.start(monkeypatch, "os.kill(os.getpid(), 9)")
    with pytest.raises(MemoryShortage, match="was killed twice"):
        read(good)
    assert len(started) == 2 and pillow_process._idle == []
    killing = pillow_process.child_process.start
    waiting = [_start, killing]
    monkeypatch.setattr(pillow_process.child_process, "start", lambda *given, **more: waiting.pop()(*given, **more))
    np.testing.assert_array_equal(read(good), expected)
    assert waiting == []


def test_without_resources_for_a_process_no_file_is_damaged(monkeypatch):
    error = OSError(errno.EMFILE, "Too many open files")
    monkeypatch.setattr(pillow_process.child_process, "start", Mock(side_effect=error))
    with pytest.raises(OSError, match="Too many open files"):
        reader.read_image(encoded("PNG"), Reading(1_000_000, 64, verify=True))


def test_a_decoder_whose_parent_is_gone_has_a_limit_of_time():
    read(encoded("WEBP"))
    (process,) = pillow_process._idle
    limit, _ = resource.prlimit(process.pid, resource.RLIMIT_CPU)
    assert 0 < limit <= 2 * bounds.DECODE_SECONDS * os.cpu_count() + 60


def test_the_reader_rejects_such_a_file_and_goes_on(monkeypatch):
    crashing_decoder.start(monkeypatch, "os.abort()")
    with pytest.raises(reader.Unusable, match=r"it ends the process that decodes it \(SIGABRT\)"):
        reader.read_image(encoded("GIF", mode="P"), READING)
    assert reader.read_image(encoded("WEBP"), READING).width == 64


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_tensorflow_gets_a_jpeg_or_png_only_after_pillow_has_decoded_it(monkeypatch, kind):
    verified = Reading(1_000_000, 64, verify=True)
    content, decoded = encoded(kind), []
    real = reader._by_graph
    monkeypatch.setattr(reader, "_by_graph", lambda *given: decoded.append(given[0]) or real(*given))
    assert reader.read_image(content, verified) == reader.read_image(content, READING)
    assert decoded == [content, content]
    pillow_process._end_idle()
    crashing_decoder.start(monkeypatch, "os.abort()", kind)
    with pytest.raises(Unusable, match=r"it ends the process that decodes it \(SIGABRT\)"):
        reader.read_image(content, verified)
    assert len(decoded) == 2
    reader.read_image(content, READING)
    assert len(decoded) == 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damage_anywhere_in_the_data_is_found_by_the_first_decoding(kind):
    content = encoded(kind, (200, 150))
    with pytest.raises(Unusable, match="damaged"):
        pillow_read.verify(content[: len(content) - 200], READING, free)
    assert pillow_process.read(content, READING, free, verify=True).shape == (0, 0, 3)


def test_a_file_that_takes_too_long_is_refused(monkeypatch):
    crashing_decoder.start(monkeypatch, "time.sleep(100)")
    read(encoded("WEBP"))
    monkeypatch.setattr(bounds, "DECODE_SECONDS", 0.3)
    began = time.monotonic()
    assert refusal(encoded("GIF", mode="P")) == "decoding it takes more than 0.3 seconds"
    assert time.monotonic() - began < 20


def test_a_decoder_without_bounds_on_memory_is_stopped(monkeypatch):
    most = bounds.decoder_bytes(READING.max_pixels)
    crashing_decoder.start(monkeypatch, f"bytearray({2 * most})")
    assert refusal(encoded("GIF", mode="P")).startswith("decoding it needs more memory than is available")
    assert most < 1 << 30


def test_an_idle_process_that_has_ended_refuses_nothing():
    content = encoded("WEBP")
    expected = read(content)
    (process,) = pillow_process._idle
    process.stdin.close()
    process.wait(60)
    with open(os.devnull, "wb") as process.stdin:  # as if it had ended after it was asked
        np.testing.assert_array_equal(read(content), expected)
    assert pillow_process._idle != [process]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_an_idle_process_refuses_nothing(sent):
    content = encoded("WEBP")
    expected = read(content)
    (process,) = pillow_process._idle
    process.send_signal(sent)
    if sent == signal.SIGKILL:
        process.wait(60)
    np.testing.assert_array_equal(read(content), expected)
    assert (pillow_process._idle == [process]) is (sent == signal.SIGINT)


def test_threads_have_a_process_each_and_get_their_own_pixels():
    contents = [encoded("TIFF", (20 + number, 10)) for number in range(12)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(read, contents))
    assert [pixels.shape[1] for pixels in found] == [20 + number for number in range(12)]
    for pixels, content in zip(found, contents, strict=True):
        np.testing.assert_array_equal(pixels, pillow_read.pixels(content, READING, free))
    assert 1 <= len(pillow_process._idle) <= 3


def test_pixels_are_decoded_while_the_budget_is_held():
    held: list[object] = []

    @contextlib.contextmanager
    def hold(number: int) -> Iterator[None]:
        held.append(number)
        yield
        held.append("free")

    pillow_process.read(encoded("TIFF", (90, 40)), READING, hold)
    with pytest.raises(Unusable):
        pillow_process.read(b"text", READING, hold)
    assert held == [3600, "free"]


def test_an_interrupted_answer_is_not_taken_for_the_next():
    def interrupted(_: int) -> contextlib.AbstractContextManager[None]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pillow_process.read(encoded("TIFF", (90, 40)), READING, interrupted)
    assert pillow_process._idle == []
    assert read(encoded("TIFF", (30, 10))).shape == (10, 30, 3)


def test_a_process_that_does_not_start_is_no_refusal(monkeypatch):
    monkeypatch.setattr(
        pillow_process.child_process, "start", lambda *_, **streams: _start("no.such.module", **streams)
    )
    with pytest.raises(RuntimeError, match="the process that decodes images does not start: exit code 1"):
        read(encoded("TIFF"))


def test_the_process_imports_no_tensorflow(root):
    code = (
        "import sys, edgetune.modules.images.pillow_process; print({'tensorflow', 'tfx', 'scipy'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True).stdout == "set()\n"


def test_processes_end_with_their_parent(root):
    code = (
        "import contextlib, os, sys; from edgetune.modules.images import pillow_process as p;"
        "from edgetune.modules.images.reading import Reading;"
        "p.read(sys.stdin.buffer.read(), Reading(), lambda n: contextlib.nullcontext());"
        "print(p._idle[0].pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, input=encoded("TIFF"), stdout=subprocess.PIPE)
    assert done.returncode == -signal.SIGKILL
    child, ended = int(done.stdout), threading.Event()
    for _ in range(500):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            ended.set()
            break
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":  # nobody waits for it here
            ended.set()
            break
        time.sleep(0.02)
    assert ended.is_set()
