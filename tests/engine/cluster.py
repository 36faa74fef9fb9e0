"""A local Flink session cluster with a pool of Python workers, started for tests and always stopped.

JobManager, one TaskManager and the worker pool are separate processes. All addresses are 127.0.0.1, and their output is
in `<folder>/*.log`.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edgetune.modules.settings.execution import BeamSettings
from tests.engine import flink_files
from tests.engine.processes import Processes

ROOT = Path(__file__).resolve().parent.parent.parent
_START_SECONDS = 120
_HOST = "127.0.0.1"
_FRAMEWORK, _METASPACE = 128, 1024
"""Megabytes of heap and direct memory for Flink itself, and of memory for classes."""

# The options of Flink's own start scripts for Java 17; older versions accept them too.
_OPENED = ("lang", "net", "io", "nio", "lang.reflect", "text", "time", "util", "util.concurrent")
_OPENED += ("util.concurrent.atomic", "util.concurrent.locks")
_JAVA_OPTIONS = (
    *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _OPENED),
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    # Every job is a separate jar, whose classes are loaded again.
    f"-XX:MaxMetaspaceSize={_METASPACE}m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
)
_LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
"""


@dataclass(frozen=True)
class Memory:
    """Memory of the TaskManager in megabytes."""

    heap: int = 1024
    off_heap: int = 256
    network: int = 2048
    """A TFX graph is wide: Transform has more than 500 tasks, and each pair that exchanges data needs buffers."""
    managed: int = 512


class Cluster:
    """A context manager that runs a cluster.

    Args:
        folder: Folder for configuration and logs.
        slots: Slots of the only TaskManager, and number of Python workers for a job.
        memory: Memory of the TaskManager.

    Raises:
        Unavailable: On entry: Java, Flink or Beam's job server is not available on this machine.
        RuntimeError: On entry: a process ended, or the cluster was not ready in time.
    """

    def __init__(self, folder: Path, slots: int = 2, memory: Memory | None = None) -> None:
        self.folder, self.slots = folder, slots
        self._memory = memory or Memory()
        self._processes = Processes(folder)

    @property
    def settings(self) -> BeamSettings:
        """Settings that a user would write for this cluster."""
        return BeamSettings(
            runner="flink",
            master=f"http://{_HOST}:{self._rest}",
            flink_version=flink_files.FLINK,
            job_server_jar=str(self._jar),
            workers=self.slots,
            workers_per_machine=self.slots,
            environment_type="external",
            environment_config=f"{_HOST}:{self._pool}",
        )

    def __enter__(self) -> Cluster:
        java, libraries = flink_files.java(), flink_files.class_path()
        self._jar = flink_files.job_server_jar()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._rest, self._rpc, self._pool = _free_ports(3)
        self._configure()
        memory = self._memory
        direct = memory.off_heap + memory.network + _FRAMEWORK
        task_heap = (f"-Xmx{memory.heap + _FRAMEWORK}m", f"-XX:MaxDirectMemorySize={direct}m")
        try:
            # With Beam's classes on the TaskManager's class path, Python workers outlive the stages of a job
            # (docs/beam.md).
            beam = f"{libraries}{os.pathsep}{self._jar}", "-Dclassloader.resolve-order=parent-first"
            for name, entry, options, (class_path, *dynamic) in (
                ("jobmanager", "entrypoint.StandaloneSessionClusterEntrypoint", ("-Xmx1g",), (libraries,)),
                ("taskmanager", "taskexecutor.TaskManagerRunner", task_heap, beam),
            ):
                log4j = f"-Dlog4j.configurationFile=file:{self.folder}/log4j.properties"
                command = [java, *_JAVA_OPTIONS, *options, log4j, "-cp", class_path]
                command += [f"org.apache.flink.runtime.{entry}", "--configDir", str(self.folder), *dynamic]
                self._processes.start(name, command)
            pool = [sys.executable, str(Path(__file__).with_name("worker_pool.py")), str(self._pool)]
            # The pool starts plain `python`, which must be ours and find our code.
            paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
            found = {"PATH": paths, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
            self._processes.start("workers", pool, found)
            self._wait()
        except BaseException:
            self._processes.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._processes.stop()

    def overview(self) -> dict[str, object]:
        """Return the cluster overview of Flink's REST endpoint."""
        with urllib.request.urlopen(f"http://{_HOST}:{self._rest}/v1/overview", timeout=5) as answer:
            return json.load(answer)

    def _configure(self) -> None:
        memory, scratch = self._memory, self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        configuration = {
            "jobmanager.rpc.address": _HOST,
            "jobmanager.rpc.port": self._rpc,
            "jobmanager.bind-host": _HOST,
            "taskmanager.host": _HOST,
            "taskmanager.bind-host": _HOST,
            "rest.address": _HOST,
            "rest.bind-address": _HOST,
            "rest.port": self._rest,
            "taskmanager.numberOfTaskSlots": self.slots,
            "taskmanager.cpu.cores": f"{self.slots}.0",
            "taskmanager.memory.task.heap.size": f"{memory.heap}m",
            "taskmanager.memory.task.off-heap.size": f"{memory.off_heap}m",
            "taskmanager.memory.network.min": f"{memory.network}m",
            "taskmanager.memory.network.max": f"{memory.network}m",
            "taskmanager.memory.managed.size": f"{memory.managed}m",
            # Flink's start scripts would compute these.
            "taskmanager.memory.framework.heap.size": f"{_FRAMEWORK}m",
            "taskmanager.memory.framework.off-heap.size": f"{_FRAMEWORK}m",
            "taskmanager.memory.jvm-metaspace.size": f"{_METASPACE}m",
            "taskmanager.memory.jvm-overhead.min": "192m",
            "taskmanager.memory.jvm-overhead.max": "192m",
            # By default, a sorted shuffle takes 512 buffers, and a wide graph has hundreds of shuffles at once.
            "taskmanager.network.sort-shuffle.min-buffers": 16,
            "io.tmp.dirs": scratch,
            # Generous timeouts for slow machines and large job graphs.
            "heartbeat.timeout": 180_000,
            "pekko.ask.timeout": "120 s",
            "web.timeout": 600_000,
            "rest.server.max-content-length": 1 << 30,
        }
        lines = (f"{key}: {value}\n" for key, value in configuration.items())
        (self.folder / "config.yaml").write_text("".join(lines), encoding="utf-8")
        (self.folder / "log4j.properties").write_text(_LOG4J, encoding="utf-8")

    def _wait(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            self._processes.check()
            with suppress(OSError, ValueError):
                if self.overview()["slots-total"] == self.slots:
                    socket.create_connection((_HOST, self._pool), timeout=5).close()
                    return
            time.sleep(0.25)
        raise RuntimeError(f"the Flink cluster was not ready after {_START_SECONDS} s; its logs are in {self.folder}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind((_HOST, 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
