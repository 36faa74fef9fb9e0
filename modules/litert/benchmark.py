"""Measure a LiteRT model with LiteRT's own benchmark, in a child process with bounds on memory and time.

The package ai-edge-litert has it as a program, `litert-benchmark`, which mirrors `benchmark_model` of C++: it loads the
model through LiteRT's CompiledModel on the CPU, and runs it on random pixels. It does not measure memory; that is what
the child has at its peak beyond what it had before the model.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.modules.core import bounds, child_process
from edgetune.modules.core.errors import BundleError

TOOL = "ai_edge_litert.tools.benchmark_litert_model"
RUNS = 50
_MARK = "edgetune: "


@dataclass(frozen=True)
class Benchmark:
    """Measurements of one model with one number of threads; times are wall-clock times in milliseconds."""

    threads: int
    runs: int
    start_ms: float
    """From the file to a model that can be run."""
    first_ms: float
    """The first answer."""
    p50_ms: float
    """An answer: the median of `runs`, after some that do not count."""
    p95_ms: float
    memory: int
    """Largest resident memory that the model and its runtime took, in bytes."""


def measure(content: bytes, threads: int, runs: int = RUNS, seconds: float = bounds.MODEL_SECONDS) -> Benchmark:
    """Measure a model.

    Args:
        content: The file.
        threads: Of the interpreter.
        runs: Number of answers that count.
        seconds: Limit on the time of the process.

    Raises:
        BundleError: It cannot be measured, or ends the process that runs it.
    """
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder, tempfile.TemporaryFile() as errors:
        path = Path(folder, "model.tflite")
        path.write_bytes(content)
        arguments = (str(path), str(threads), str(runs))
        process = child_process.start(
            __name__, *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise BundleError(f"takes more than {seconds:g} seconds, and was stopped", "lower --runs") from None
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        said = [line.strip() for line in errors.read(1 << 16).decode(errors="replace").splitlines() if line.strip()]
    lines = [line for line in output.decode(errors="replace").splitlines() if line.startswith(_MARK)]
    if process.returncode or not lines:
        ending = child_process.ending(process.returncode)
        raise BundleError(f"ends the process that measures it with {ending}: {(said or ['no reason'])[-1][:300]}")
    return Benchmark(threads=threads, runs=runs, **json.loads(lines[-1].removeprefix(_MARK)))


def main() -> None:
    """Measure; entry point of the child process."""
    path, threads, runs = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (bounds.MODEL_MEMORY, bounds.MODEL_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the tool prints its results for people
    import ai_edge_litert.compiled_model  # noqa: F401 - so that its code does not count as memory of the model
    from ai_edge_litert.tools import benchmark_litert_model

    sys.argv = ["litert-benchmark", "--model", path, "--num_threads", threads, "--num_runs", runs]
    before = _resident()
    with contextlib.redirect_stdout(sys.stderr):
        found = _run(benchmark_litert_model.run_benchmark, benchmark_litert_model.parse_args())
    memory = max(child_process.peak_memory() - before, 0)
    answers.write(f"{_MARK}{json.dumps({**found, 'memory': memory})}\n")
    answers.flush()


def _run(benchmark: Callable[[Any], dict[str, Any]], arguments: Any) -> dict[str, float]:
    latency = benchmark(arguments)["latency"]
    names = {"start_ms": "init_ms", "first_ms": "warmup_first_ms", "p50_ms": "median_ms", "p95_ms": "p95_ms"}
    return {ours: float(latency[theirs]) for ours, theirs in names.items()}


def _resident() -> int:
    """Return the resident memory of this process, in bytes (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
