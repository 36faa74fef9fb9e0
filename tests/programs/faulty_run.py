"""Be `edgetune run` with a pipeline of one component that meets a fault: of the machine, or a signal.

python -m tests.programs.faulty_run FAULT WORKDIR PHOTOS [ARGUMENT...]
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from tfx.orchestration.pipeline import Pipeline
from tfx.types import artifact_utils

import edgetune.pipeline.pipeline
from edgetune.components.curated_schema import executor
from edgetune.components.curated_schema.component import CuratedSchema
from edgetune.modules.core import progress
from edgetune.modules.core.package_paths import ROOT
from edgetune.modules.training.devices import Choice
from edgetune.pipeline import cli
from edgetune.pipeline.beam.flags import IN_PROCESS
from edgetune.pipeline.local import runner

CHILD = "child.pid"
_NOBODY = 65534
_work = executor.Executor.Do


class _Failing(beam.DoFn):
    """Calls a function for each element; what it raises reaches the component as Beam wraps it."""

    def __init__(self, fail: Callable[[str], None], folder: str) -> None:
        self._fail, self._folder = fail, folder

    def process(self, element: int) -> Iterator[int]:
        self._fail(self._folder)
        yield element


def signalled(number: int, child: bool = False) -> Callable[[str], None]:
    """Send a signal to the process that the user started; `child` sends it here too, as a terminal does."""

    def fault(folder: str) -> None:
        sleeper = subprocess.Popen(["sleep", "600"])
        (Path(folder) / CHILD).write_text(str(sleeper.pid))
        (Path(folder) / "temporary").write_text(tempfile.mkdtemp(prefix="beam-"))
        os.kill(os.getppid(), number)
        if child:
            os.kill(os.getpid(), number)
        time.sleep(60)

    return fault


def fill_disk(folder: str) -> None:
    with (Path(folder) / "large").open("wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))


def exceed_file_size(folder: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        fill_disk(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def exceed_memory(folder: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), hard))
    try:
        np.ones(1 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def be_denied(folder: str) -> None:
    file = Path(folder) / "private"
    file.touch(mode=0)
    libc = ctypes.CDLL(None)
    with contextlib.ExitStack() as stack:
        if os.geteuid() == 0:  # whom nothing is denied; of this thread alone
            libc.setfsuid(_NOBODY)
            stack.callback(libc.setfsuid, 0)
        file.read_text()


def in_beam(fail: Callable[[str], None]) -> Callable[[str], None]:
    """Meet the fault in a worker of Beam."""

    def fault(folder: str) -> None:
        with beam.Pipeline(runner=IN_PROCESS) as pipeline:
            _ = pipeline | beam.Create([1]) | "Meet" >> beam.ParDo(_Failing(fail, folder))

    return fault


def abort_for_memory(folder: str) -> None:
    """Do as LLVM does within a limit on memory (`prlimit --as`)."""
    os.write(2, b"LLVM ERROR: pthread_create failed: Resource temporarily unavailable\n")
    os.abort()


def defect(folder: str) -> None:
    raise ZeroDivisionError("oh")


FAULTS: dict[str, Callable[[str], None]] = {
    "none": lambda folder: None,
    "interrupt": signalled(signal.SIGINT),
    "terminal": signalled(signal.SIGINT, child=True),
    "terminate": signalled(signal.SIGTERM),
    "hang_up": signalled(signal.SIGHUP),
    "killed": lambda folder: os.kill(os.getpid(), signal.SIGKILL),
    "crash": lambda folder: os.abort(),
    "native_memory": abort_for_memory,
    "full": fill_disk,
    "full_in_beam": in_beam(fill_disk),
    "file_size": exceed_file_size,
    "memory": exceed_memory,
    "memory_in_beam": in_beam(exceed_memory),
    "denied_in_beam": in_beam(be_denied),
    "defect": defect,
}


def main(fault: str, workdir: str, photos: str, *arguments: str) -> None:
    def do(self: executor.Executor, inputs: Any, outputs: dict[str, Any], properties: Any) -> None:
        _work(self, inputs, outputs, properties)
        progress.report(f"meets {fault}")
        FAULTS[fault](artifact_utils.get_single_uri(outputs["schema"]))

    def create(settings: Any, source: Any, places: Any, metadata: Any, flags: list[str], cache: bool) -> Pipeline:
        return Pipeline(
            pipeline_name=settings.name,
            pipeline_root=places.root,
            components=[CuratedSchema(ROOT / "schemas" / "examples.pbtxt")],
            metadata_connection_config=metadata,
            beam_pipeline_args=flags,
            enable_cache=cache,
        )

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which `nohup make test` ignores, and a run under it does rightly
    tempfile.tempdir = None  # of the server that this is a fork of
    executor.Executor.Do = do
    edgetune.pipeline.pipeline.create_pipeline = create
    runner.check_run = lambda *_: Choice("the CPU", "nothing is trained")
    sys.argv[1:] = ["run", "--data", photos, "--workdir", workdir, "--set", "name=birds", *arguments]
    cli.program()


if __name__ == "__main__":
    main(*sys.argv[1:])
