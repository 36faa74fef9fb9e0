"""The progress console: plain lines, live lines on a terminal, thread safety."""

from __future__ import annotations

import io
import os
import pty
import re
import threading
import time

import pytest

from edgetune.modules.core import progress
from edgetune.pipeline.terminal.console import Console, duration

NODES = ["ImageExampleGen", "Transform", "TwoPhaseTrainer", "Evaluator"]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("live", [False, True])
def test_names_do_not_reach_the_terminal_as_control_characters(live: bool) -> None:
    out = io.StringIO()
    with Console(out, NODES, live=live, detail_seconds=0) as console:
        console.started("ImageExampleGen")
        console.line("rejected a\x1b]0;owned\x07\u202eb.jpg")
        console.detail("class \x1b[2J\x9b31m")
        console.concluded("class \x1b[2J\x9b31m")
        console.finished("ImageExampleGen", "done")
    text = out.getvalue()
    assert "rejected a\\x1b]0;owned\\x07\\u202eb.jpg" in text and "class \\x1b[2J\\x9b31m" in text
    assert "\x1b]0" not in text and "\x1b[2J" not in text and "\x9b" not in text


def test_plain_output_is_one_line_per_finished_component() -> None:
    out, clock = io.StringIO(), Clock()
    with Console(out, NODES, clock=clock) as console:
        console.line("log: run.log")
        console.started("ImageExampleGen")
        clock.now += 4.25
        console.finished("ImageExampleGen", "done")
        console.started("Transform")
        console.finished("Transform", "cached")
        console.started("TwoPhaseTrainer")
        clock.now += 65
        console.finished("TwoPhaseTrainer", "failed")
        console.finished("Evaluator", "skipped")
    assert out.getvalue().splitlines() == [
        "log: run.log",
        "  ✓ ImageExampleGen     4.2 s",
        "  ≡ Transform           0.0 s  cached",
        "  ✗ TwoPhaseTrainer  1:05 min  failed",
        "  – Evaluator                  skipped",
    ]


def test_plain_progress_lines_are_limited_and_none_stands_as_the_result() -> None:
    out, clock = io.StringIO(), Clock()
    with Console(out, ["TwoPhaseTrainer"], detail_seconds=5, clock=clock) as console:
        console.detail("nothing runs yet")
        console.started("TwoPhaseTrainer")
        for epoch in range(1, 13):
            console.detail(f"head: epoch {epoch}/12")
            clock.now += 1
        console.finished("TwoPhaseTrainer", "done")
    lines = out.getvalue().splitlines()
    assert [int(re.search(r"epoch (\d+)", line)[1]) for line in lines[:-1]] == [1, 6, 11]  # type: ignore[index]
    assert lines[-1] == "  ✓ TwoPhaseTrainer    12.0 s"


def test_the_final_line_has_the_result_and_a_tick_only_for_what_was_done() -> None:
    out = io.StringIO()
    with Console(out, NODES, clock=Clock()) as console, progress.listening(console.detail, console.concluded):
        progress.conclude("nothing runs yet")
        for node, said, well in (
            ("ImageExampleGen", "138 images, 2 rejected", True),
            ("Evaluator", "refused the model", False),
            ("ReleasePusher", "nothing pushed", False),
        ):
            console.started(node)
            progress.report("100 images read")
            progress.conclude(said, well)
            console.finished(node, "done")
        for state in ("cached", "failed"):
            console.started("Transform")
            progress.report("100 images read")
            progress.conclude("passed")
            console.finished("Transform", state)
    shown = [line.replace("0.0 s", "").split(maxsplit=2) for line in out.getvalue().splitlines()]
    assert [line for line in shown if line[0] in "✓–≡✗" and line[1] != "not"] == [
        ["✓", "ImageExampleGen", "138 images, 2 rejected"],
        ["–", "Evaluator", "refused the model"],
        ["–", "ReleasePusher", "nothing pushed"],
        ["≡", "Transform", "cached"],
        ["✗", "Transform", "failed  after: 100 images read"],
    ]  # fmt: skip


def test_a_silent_component_is_reported_as_still_running() -> None:
    out = io.StringIO()
    with Console(out, ["loading"], silence_seconds=0.2) as console:
        time.sleep(0.6)
        assert out.getvalue() == ""  # nothing runs
        console.started("loading")
        console.detail("TensorFlow")
        deadline = time.monotonic() + 30
        while out.getvalue().count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        console.finished("loading", "done")
        written = out.getvalue()
        time.sleep(0.6)
    assert out.getvalue() == written  # nor after it
    *running, ended = written.splitlines()
    assert len(running) >= 3 and all(re.fullmatch(r"    loading +[\d.]+ s  TensorFlow", line) for line in running)
    assert ended.startswith("  ✓ loading")


def test_unfinished_components_are_named_on_exit() -> None:
    out = io.StringIO()
    with pytest.raises(RuntimeError), Console(out, NODES, clock=Clock()) as console:
        console.started("ImageExampleGen")
        console.finished("ImageExampleGen", "done")
        console.started("Transform")
        raise RuntimeError
    assert out.getvalue().splitlines()[1:] == [
        "  ✗ Transform           0.0 s  failed",
        "  – not run: TwoPhaseTrainer, Evaluator",
    ]


def test_an_unknown_state_is_an_error_and_a_second_finish_is_ignored() -> None:
    out = io.StringIO()
    with Console(out, ["Transform"]) as console:
        console.started("Transform")
        with pytest.raises(ValueError, match="finished-ish"):
            console.finished("Transform", "finished-ish")  # type: ignore[arg-type]
        console.finished("Transform", "done")
        console.finished("Transform", "failed")
    assert out.getvalue().count("Transform") == 1 and "failed" not in out.getvalue()


def test_plain_lines_have_no_control_codes_and_are_not_wrapped() -> None:
    out, long = io.StringIO(), "accuracy " + "0123456789" * 40 + " [bold]not markup[/bold]"
    with Console(out, ["Transform"]) as console:
        console.started("Transform")
        console.detail(long)
        console.line(long)
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().count(long) == 3


def test_a_terminal_shows_a_live_line_and_keeps_the_final_one() -> None:
    leader, follower = pty.openpty()
    written = bytearray()

    def read() -> None:
        while True:
            try:
                data = os.read(leader, 4096)
            except OSError:  # Linux raises this when the other side is closed
                return
            if not data:
                return
            written.extend(data)

    def seen(pattern: str) -> bool:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if re.search(pattern, written.decode(errors="replace")):
                return True
            time.sleep(0.02)
        return False

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    clock = Clock()
    with open(follower, "w", encoding="utf-8") as out:
        with Console(out, NODES, live=True, clock=clock) as console:
            console.started("Transform")
            console.detail("epoch 3/10")
            assert seen(r"Transform.*0\.0 s.*epoch 3/10"), written
            clock.now += 7.5
            assert seen(r"Transform.*7\.5 s"), written  # only time has passed
            assert seen("0 of 4"), written
            console.finished("Transform", "cached")
            assert seen(r"≡.* Transform.*7\.5 s.*cached"), written
        assert seen("not run: ImageExampleGen"), written
    reader.join(5)
    os.close(leader)


def test_many_threads_lose_no_line_and_do_not_deadlock() -> None:
    leader, follower = pty.openpty()
    written = bytearray()

    def drain() -> None:
        while True:
            try:
                written.extend(os.read(leader, 65536))
            except OSError:
                return

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    nodes = [f"Node{n:02}" for n in range(40)]
    with open(follower, "w", encoding="utf-8") as out:
        with Console(out, nodes, live=True) as console:

            def work(node: str) -> None:
                console.started(node)
                for step in range(20):
                    console.detail(f"step {step}")
                console.finished(node, "done")

            threads = [threading.Thread(target=work, args=(node,), daemon=True) for node in nodes]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert not any(thread.is_alive() for thread in threads), "a deadlock"
        out.flush()
    reader.join(5)
    os.close(leader)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode(errors="replace"))
    assert all(len(re.findall(rf"✓ {node}\b", text)) == 1 for node in nodes)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (4.25, "4.2 s"), (59.99, "59.9 s"), (60, "1:00 min"), (3599, "59:59 min"), (7389, "2:03:09 h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_spinner_stands_for_the_first_component_before_it_starts_and_goes_on_between_two() -> None:
    out = io.StringIO()
    with Console(out, NODES, live=True) as console:
        console._live.refresh()
        assert "ImageExampleGen" in out.getvalue() and "starting" in out.getvalue()
        console.started("ImageExampleGen")
        console.finished("ImageExampleGen", "done")
        out.seek(out.truncate(0))
        console._live.refresh()
        assert re.search(r"Transform[^\n]*starting", out.getvalue())
        console.started("Transform")
        out.seek(out.truncate(0))
        console._live.refresh()
        assert "starting" not in out.getvalue()
