"""Inspect and run an untrusted LiteRT model in a child process.

The interpreter is C++ and trusts the numbers in a well-formed model: a stride of zero crashes it, a tensor of terabytes
exhausts memory, a graph of a billion operations never ends. So the child runs with limits on memory and time, and a
crash is one of the findings. It reads its task as JSON from standard input and writes its findings to standard output,
one line of JSON each time.
"""

from __future__ import annotations

import io
import json
import resource
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgetune.modules.bundle.files import shown
from edgetune.modules.core import bounds, child_process

_MARK = "edgetune: "
_MOST = 8 << 20  # bytes read from the child's output

FLOAT_TOLERANCE = 1e-3
"""Largest difference of a probability for float32 and float16. Other CPUs sum in another order, which changes it by
about 1e-6; this leaves room for deep networks, and still detects every wrong weight that could matter."""
QUANTIZED_TOLERANCE = 0.05
"""The same for int8 and dynamic. A sum between two of 256 steps is rounded up by one kernel and down by another, in
every layer: on digits, the reference kernels and XNNPACK differ by three steps of the output, 0.012."""


def tolerance(variant: str) -> float:
    """Return the largest difference of one probability that another CPU may cause."""
    return QUANTIZED_TOLERANCE if variant in ("int8", "dynamic") else FLOAT_TOLERANCE


@dataclass(frozen=True)
class Task:
    """A model to check, and what it is expected to be."""

    model: bytes
    variant: str
    labels: list[str]
    image_size: int
    """Height and width of the input, in pixels."""
    ops: dict[str, Any]
    """Count and version of each operation by name, or of bundles of format 1 the version."""
    min_runtime: str | None
    normalisation: tuple[float, float] = (0.0, 1.0)
    """Mean and deviation that the file must declare."""
    golden: list[tuple[str, bytes, list[float]]] = field(default_factory=list)
    """Name, PNG and expected probabilities."""


@dataclass
class Findings:
    """Result of a probe."""

    file: list[str] = field(default_factory=list)
    """Problems of the file."""
    golden: list[str] = field(default_factory=list)
    """Problems of its answers to golden images."""
    difference: float | None = None
    """Largest difference from an expected probability; None if nothing was compared."""


def probe(task: Task, seconds: int = bounds.MODEL_SECONDS) -> Findings:
    """Check a model in a child process.

    Args:
        task: The model and what it is expected to be.
        seconds: Limit on CPU time.
    """
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder, tempfile.TemporaryFile() as output:
        Path(folder, "model.tflite").write_bytes(task.model)
        for number, (_, png, _) in enumerate(task.golden):
            Path(folder, f"{number}.png").write_bytes(png)
        request = {**asdict(task), "model": None, "golden": [(name, p) for name, _, p in task.golden]}
        request |= {"folder": folder, "seconds": seconds}
        process = child_process.start(
            "edgetune.modules.bundle.probe", stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL
        )
        try:
            process.communicate(json.dumps(request).encode(), seconds + 30)  # the child's own bound is on CPU time
            code = process.returncode
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        said = output.read(_MOST).decode(errors="replace").splitlines()
    findings = Findings()
    for line in said:
        if line.startswith(_MARK):
            findings = Findings(**json.loads(line.removeprefix(_MARK)))
    if code:
        how = f"it {'was stopped by' if code < 0 else 'ended with'} {child_process.ending(code)}"
        late = f" (after {seconds} seconds)" if -code in (signal.SIGKILL, signal.SIGXCPU) else ""
        findings.file.append(f"ends the process that reads or runs it: {how}{late}")
    return findings


def main() -> None:
    """Check the model; entry point of the child process."""
    request: dict[str, Any] = json.load(sys.stdin)
    limit(bounds.MODEL_MEMORY)
    # The soft limit sends a signal that shows the reason; the hard limit kills the process for certain.
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"] + 5))
    folder = Path(request.pop("folder"))
    content, findings = (folder / "model.tflite").read_bytes(), Findings()
    try:
        findings.file += _file_problems(content, request)
    except Exception as error:  # noqa: BLE001 - a damaged file can raise any exception
        findings.file.append(f"cannot be read: {_reason(error)}")
    _tell(findings)
    if not findings.file:
        try:
            _run_golden(content, request, folder, findings)
        except Exception as error:  # noqa: BLE001
            findings.golden.append(f"cannot be run: {_reason(error)}")
        _tell(findings)


def limit(memory: int) -> None:
    """Bound the address space of this process, in bytes, and let it write no core file."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _tell(findings: Findings) -> None:
    print(_MARK + json.dumps(asdict(findings)), flush=True)


def _reason(error: Exception) -> str:
    return shown(getattr(error, "cause", None) or str(error).strip().partition("\n")[0] or type(error).__name__)


def _file_problems(content: bytes, request: dict[str, Any]) -> list[str]:
    from edgetune.modules.litert import declared_metadata, inspection, metadata

    labels = request["labels"]
    facts = inspection.inspect(content)
    found = inspection.problems(facts, request["variant"], request["image_size"], len(labels))
    if flex := [name for name in facts.ops if name.startswith("UNKNOWN:")]:
        found.append(f"needs operations that no runtime has: {', '.join(flex)}")
    if request["ops"] not in (facts.operations(), facts.ops):
        found.append("needs other operations, or other versions of them, than bundle.json says")
    if facts.min_runtime != request["min_runtime"]:
        found.append(f"needs runtime {facts.min_runtime}, but bundle.json says {request['min_runtime']}")
    inside = metadata.read_labels(content)
    # Pass the file's own labels: `label_difference` below describes the difference better.
    found += declared_metadata.metadata_problems(
        content, labels if inside is None else inside, tuple(request["normalisation"])
    )
    if inside is not None and inside != labels:
        found.append(label_difference("inside", inside, labels))
    return [shown(each) for each in found]


def label_difference(where: str, found: list[str], labels: list[str]) -> str:
    """Describe in one sentence how the labels `where` differ from those of bundle.json."""
    if len(found) != len(labels):
        return f"has {len(found)} labels {where}, but bundle.json has {len(labels)}"
    pairs = enumerate(zip(found, labels, strict=True), start=1)
    line, (one, other) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
    return shown(f"label {line} {where} is {one!r}, but bundle.json says {other!r}")


def _run_golden(content: bytes, request: dict[str, Any], folder: Path, findings: Findings) -> None:
    import numpy as np

    from edgetune.modules.litert.interpreter import EdgeRunner

    runner = EdgeRunner(content, normalisation=tuple(request["normalisation"]))
    bound = tolerance(request["variant"])
    for number, (name, expected) in enumerate(request["golden"]):
        pixels = _pixels((folder / f"{number}.png").read_bytes(), request["image_size"])
        if isinstance(pixels, str):
            findings.golden.append(f"{name}: {pixels}")
            continue
        [answer] = runner.probabilities(pixels[np.newaxis])
        apart = np.abs(answer.astype(np.float64) - np.array(expected))
        worst = int(np.argmax(apart))  # the first NaN, if there is one
        findings.difference = max(findings.difference or 0.0, float(np.nan_to_num(apart[worst], nan=1.0)))
        if not apart[worst] <= bound:
            findings.golden.append(
                f"{name}: probability of {request['labels'][worst]!r} is {answer[worst]:.4f} instead of "
                f"{expected[worst]:.4f}; a difference of {bound:g} is allowed"
            )


def _pixels(png: bytes, image_size: int) -> Any:
    """Return the pixels uint8 `[S, S, 3]`, or the problem of the image.

    Any PNG decoder gives the same pixels; nothing is resized.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.size != (image_size, image_size) or image.mode != "RGB":
                return f"is {image.size[0]} x {image.size[1]} {image.mode}, but must be {image_size} x {image_size} RGB"
            return np.asarray(image)
    except Exception as error:  # noqa: BLE001
        return f"cannot be read as PNG: {_reason(error)}"


if __name__ == "__main__":
    main()
