"""Runs of a small pipeline on the embedded digits, as forks of this process, which can be killed at any component."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

# The runs are forks of this process, which imports all that they need and uses none of it.
import tensorflow_model_analysis as tfma
import tensorflow_transform as tft
from ml_metadata import metadata_store
from tfx.orchestration.portable import execution_publish_utils

from edgetune.modules.core.package_paths import ROOT
from edgetune.modules.data.digits import write_digits
from edgetune.modules.release.release import Places
from edgetune.pipeline import cli
from edgetune.pipeline.terminal.console import Console

IMPORTED = (tfma, tft)
MOMENTS = ("before", "during", "after")
NAME = "digits"
CLASSES = "014"
SETTINGS = (
    f"name={NAME}",
    "data.splits.train=8",  # the demo has few labels
    "data.splits.test=1",
    "model.image_size=48",
    "training.batch_size=16",
    "training.activation_cache.head_views=1",
    "training.head.epochs=4",
    "training.fine_tune.epochs=1",
    "training.baselines=[]",
    "evaluation.min_accuracy=0.3",
    "evaluation.min_test_images=5",
    "evaluation.min_test_images_per_class=1",
    "edge.variants=[float32, int8]",
    "edge.max_accuracy_drop=0.5",
    "edge.max_class_drop=1.0",
    "edge.min_agreement=0.3",
)
_SET_PDEATHSIG = 1  # linux/prctl.h
_PUBLISHERS = ("publish_succeeded_execution", "publish_internal_execution")


class Kill:
    """Kills the run, in the fork that runs it.

    Args:
        node: The component at which it is killed.
        moment: One of `MOMENTS`.
        number: The signal.
        seconds: What the component takes undisturbed.
    """

    def __init__(self, node: str, moment: str, number: int, seconds: float) -> None:
        self.node, self.moment, self.number, self.seconds = node, moment, number, seconds
        self.running = ""
        self.publishing = False

    def __str__(self) -> str:
        return f"{signal.Signals(self.number).name.removeprefix('SIG')} {self.moment} {self.node}"

    def install(self) -> None:
        """Patch the console, which hears of each component, and what publishes."""
        started, finished = Console.started, Console.finished

        def on_start(console: Console, node: str) -> None:
            started(console, node)
            self.running = node
            if node == self.node and self.moment == "before":
                threading.Timer(self.seconds / 2, self.send).start()

        def on_finish(console: Console, node: str, state: Any) -> None:
            finished(console, node, state)
            if node == self.node:  # also if it was published by the run that was killed during that
                self.send(wait=True)

        for name, hook in (("started", on_start), ("finished", on_finish)):
            setattr(Console, name, hook)
        for name in _PUBLISHERS:
            setattr(execution_publish_utils, name, self._publishing(getattr(execution_publish_utils, name)))
        if self.moment == "during":
            put = metadata_store.MetadataStore.put_execution
            metadata_store.MetadataStore.put_execution = self._storing(put)

    def _publishing(self, publish: Callable[..., Any]) -> Callable[..., Any]:
        def hooked(*arguments: Any, **named: Any) -> Any:
            if self.running != self.node:
                return publish(*arguments, **named)
            if self.moment == "before":
                time.sleep(600)  # until the timer
            self.publishing = True
            published = publish(*arguments, **named)
            self.send(wait=True)
            return published

        return hooked

    def _storing(self, put: Callable[..., Any]) -> Callable[..., Any]:
        def hooked(*arguments: Any, **named: Any) -> Any:
            if not self.publishing:
                return put(*arguments, **named)
            # The record is being written while the signal is handled, and this call never returns.
            threading.Thread(target=put, args=arguments, kwargs=named, daemon=True).start()
            return self.send(wait=True)

        return hooked

    def send(self, wait: bool = False) -> None:
        """Send the signal to the process that the user started; `wait` for this one's end."""
        os.kill(os.getppid(), self.number)
        if wait:
            time.sleep(600)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Its exit code, or a negative signal."""
    seconds: float
    processor_seconds: float
    """Of its process and of all that it waited for."""


class Workdir:
    """A workdir, with temporary files beside it, and what its commands said.

    Args:
        folder: New folder, or that of an earlier benchmark.
        data: Folder of images.
        settings: As for `--set`.
    """

    def __init__(self, folder: Path, data: Path, settings: Sequence[str] = SETTINGS) -> None:
        self.folder, self._data = folder / "workdir", data
        self._settings = [part for setting in settings for part in ("--set", setting)]
        self.temporary, self.said = folder / "temporary", folder / "said"
        self.database = self.folder / "tfx_metadata" / NAME / "metadata.db"
        self.pushed = self.folder / "pushed" / NAME
        self.places = Places(str(self.pushed / "edge"), str(self.pushed / "saved_model"))
        self.session = 0
        self.temporary.mkdir(parents=True, exist_ok=True)

    def run(self, kill: Kill | None = None) -> Ended:
        """Run the pipeline in a fork."""
        config = ROOT / "configs" / "demo.yaml"
        where = ["--config", str(config), "--data", str(self._data), "--workdir", str(self.folder)]
        return self.command("run", *where, *self._settings, kill=kill)

    def command(self, *arguments: str, kill: Kill | None = None) -> Ended:
        """Run a command of edgetune in a fork."""
        began = time.monotonic()
        self.session = os.fork()
        if self.session == 0:
            self._be_command(arguments, kill)
        _, status, used = os.wait4(self.session, 0)
        processor = used.ru_utime + used.ru_stime
        return Ended(os.waitstatus_to_exitcode(status), time.monotonic() - began, processor)

    def _be_command(self, arguments: Sequence[str], kill: Kill | None) -> NoReturn:
        code: object = 1
        try:
            os.setsid()
            ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)  # a benchmark that is killed leaves no run behind
            for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore Ctrl-C
                signal.signal(number, signal.SIG_DFL)
            os.environ["TMPDIR"], tempfile.tempdir = str(self.temporary), None
            said = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for descriptor in (1, 2):
                os.dup2(said, descriptor)
            print(f"\n--- {arguments[0]}{f', {kill}' if kill else ''}", flush=True)
            if kill:
                kill.install()
            sys.argv[1:] = arguments
            cli.program()
        except SystemExit as end:
            code = end.code
        finally:
            os._exit(code if isinstance(code, int) else 1)

    def last_said(self) -> str:
        """Return what the last command said."""
        return self.said.read_text(errors="replace").rpartition("\n--- ")[2]

    def left_processes(self) -> list[int]:
        """Return the living processes of the last command, after 20 seconds in which killed ones go.

        A child that was just started learns that its parent is gone when Python has started in it.
        """
        until = time.monotonic() + 20
        while (left := _processes(self.session)) and time.monotonic() < until:
            time.sleep(0.05)
        return left


def _processes(session: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Of a process whose first thread is dead, others may still hold its locks.
        if int(of) == session and (state != "Z" or len(list(stat.parent.glob("task/*"))) > 1):
            found.append(int(stat.parent.name))
    return found


def digits(folder: Path, each: int) -> Path:
    """Write `each` images of every class below `folder`, and return their folder."""
    everything, chosen = write_digits(folder / "all"), folder / "images"
    for digit in CLASSES:
        (chosen / digit).mkdir(parents=True)
        for path in sorted((everything / digit).iterdir())[:each]:
            shutil.copy(path, chosen / digit)
    return chosen
