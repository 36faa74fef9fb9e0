"""A decoder that does something else than decode, in the processes in which Pillow runs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from edgetune.modules.core import child_process
from edgetune.modules.images import pillow_process

_PROGRAM = """
import ctypes, os, time
from PIL import GifImagePlugin, JpegImagePlugin, PngImagePlugin
def load(self, *_): {what}
{plugin}.load = load
from edgetune.modules.images import pillow_process
pillow_process.main()
"""


_PLUGINS = {
    "GIF": "GifImagePlugin.GifImageFile",
    "JPEG": "JpegImagePlugin.JpegImageFile",
    "PNG": "PngImagePlugin.PngImageFile",
}


def start(monkeypatch: pytest.MonkeyPatch, what: str, kind: str = "GIF") -> list[int]:
    """Make the decoder of a format run a statement, in processes that are started from now on; return their numbers."""
    started: list[int] = []

    def instead(module: str, *_: str, **streams: Any) -> subprocess.Popen[Any]:
        command = [sys.executable, "-c", _PROGRAM.format(what=what, plugin=_PLUGINS[kind])]
        process = subprocess.Popen(command, env=child_process.environment(), **streams)
        started.append(process.pid)
        return process

    monkeypatch.setattr(pillow_process.child_process, "start", instead)
    return started
