"""The progress bar is drawn where a person watches, and nowhere else."""

from __future__ import annotations

import io
import sys

import pytest

from edgetune.pipeline.terminal.bar import bar, is_watched


def test_the_bar_counts_on_the_stream_it_is_given():
    out = io.StringIO()
    with bar("images", 3, out) as done:
        for _ in range(3):
            done()
    assert "3/3" in out.getvalue() and "images" in out.getvalue()
    with bar("images", None, None) as done:
        done()


class Stream(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("out", "err", "prints", "watched"),
    [(False, True, True, True), (True, True, True, False), (True, True, False, True), (False, False, False, False)],
)
def test_it_is_shown_on_a_terminal_on_which_no_lines_are_printed(monkeypatch, out, err, prints, watched):
    monkeypatch.setattr(sys, "stdout", Stream(out))
    monkeypatch.setattr(sys, "stderr", Stream(err))
    assert is_watched(prints) is watched
