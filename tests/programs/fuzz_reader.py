"""Fuzz the readers with damaged files of every format, in child processes.

    .venv/bin/python -m tests.programs.fuzz_reader --inputs 100000
    .venv/bin/python -m tests.programs.fuzz_reader --inputs 10000 --of containers

Findings are: a process that dies, a file that takes longer than `--limit` seconds or more memory than its pixels
justify, an exception other than the reader's own, and an accepted image that Transform could not use. An input is a
function of `--seed` and its number, so every finding can be reproduced with `--only`; it is also kept.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgetune.modules.images import graph_read
from edgetune.modules.images.reading import Reading
from tests.helpers.image_kinds import ALPHA, RGB, png
from tests.helpers.peak_memory import growth_of
from tests.programs import fuzz_containers
from tests.programs.fuzz_seeds import all_seeds, damaged

ROOT = Path(__file__).resolve().parents[2]
MAX_PIXELS, MAX_SIDE = 1_000_000, 64
# Twice what a million pixels take in any order of steps, and a tenth of what a decompression bomb takes.
MAX_GROWTH = 50 << 20
_START = 120.0


@dataclass
class Figures:
    """Results of a fuzzing."""

    inputs: int = 0
    accepted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """First words of the reasons for rejected inputs, with counts."""
    slowest: float = 0.0
    """Seconds."""
    findings: list[str] = field(default_factory=list)


def worker_command(arguments: list[str]) -> list[str]:
    """Return the command that runs `work` in a child process."""
    return [sys.executable, "-m", "tests.programs.fuzz_reader", "--worker", *arguments]


def fuzz(
    first: int, last: int, step: int, seed: int, limit: float, keep: Path, figures: Figures, of: str = "images"
) -> None:
    """Read the inputs `range(first, last, step)`, and start a new process whenever one is lost."""
    position = first
    while position < last:
        position = _in_one_process(range(position, last, step), seed, limit, keep, figures, of)


def _in_one_process(numbers: range, seed: int, limit: float, keep: Path, figures: Figures, of: str) -> int:
    """Read `numbers` until the process is lost; return the number to continue with."""
    arguments = [str(numbers.start), str(numbers.stop), str(numbers.step), "--seed", str(seed), "--of", of]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            worker_command(arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_forward, args=(process, lines), daemon=True).start()
        current, began, wait = numbers.start, 0.0, _START
        while True:
            try:
                line = lines.get(timeout=wait)
            except queue.Empty:
                process.kill()
                process.wait()
                figures.findings.append(_keep(keep, of, seed, current, f"takes more than {wait:.0f} seconds"))
                return current + numbers.step
            if not line:
                break
            report = json.loads(line)
            if "at" in report:
                current, began, wait = report["at"], time.monotonic(), limit
                continue
            figures.inputs += 1
            figures.slowest = max(figures.slowest, time.monotonic() - began)
            figures.accepted += report["accepted"]
            figures.reasons.update([report["reason"]] if report["reason"] else [])
            if report["finding"]:
                figures.findings.append(_keep(keep, of, seed, current, report["finding"]))
        if process.wait() == 0:
            return numbers.stop
        errors.seek(0)
        last_words = errors.read().decode(errors="replace").strip().splitlines()[-3:]
        figures.findings.append(
            _keep(keep, of, seed, current, f"the process died ({process.returncode}): {last_words}")
        )
        return current + numbers.step


def _forward(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put("")


def _keep(folder: Path, of: str, seed: int, number: int, finding: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{of}-{seed}-{number}"
    path.write_bytes(SUBJECTS[of].damaged(number, seed))
    return f"{path}: {finding}"


def work(numbers: range, seed: int, of: str) -> None:
    """Read the inputs of these numbers, and report each as a line of JSON before and after it."""
    subject = SUBJECTS[of]
    graph_read.attempt(
        png(np.dstack([RGB, ALPHA]), 8, 6), Reading()
    )  # few damaged files reach the graph, which is traced once
    for number in range(subject.kinds):  # warm up, so that one-time costs do not count for the first inputs
        with contextlib.suppress(Exception):
            subject.look(number, subject.damaged(number, seed))
    for number in numbers:
        print(json.dumps({"at": number}), flush=True)
        content = subject.damaged(number, seed)
        reason = finding = ""
        with growth_of() as growth:
            try:
                reason, finding = subject.look(number, content)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
                finding = f"{type(error).__name__}: {error}"
        if growth.bytes > MAX_GROWTH:
            finding = finding or f"takes {growth.bytes >> 20} MiB"
        report = {"accepted": not reason and not finding, "reason": reason, "finding": finding}
        print(json.dumps(report), flush=True)


@functools.cache
def _image_seeds() -> list[bytes]:
    return all_seeds()


def _look(number: int, content: bytes) -> tuple[str, str]:
    """Return the reason if an input was rejected, and what is wrong with an accepted one."""
    from PIL import Image

    from edgetune.modules.images import pillow_process, pillow_read
    from edgetune.modules.images.decode import decode
    from edgetune.modules.images.reader import Unusable, read_image
    from edgetune.modules.images.reading import Reading

    pillow_process.read = pillow_read.pixels  # in this process, where a crash is a finding
    reading = Reading(MAX_PIXELS, MAX_SIDE)
    try:
        read = read_image(content, reading)
    except Unusable as error:
        return str(error).split(":")[0][:40], ""
    decode(read.encoded, 8, reading)
    with Image.open(io.BytesIO(read.encoded), formats=("JPEG", "PNG")) as image:
        if sorted(image.size) != sorted((read.width, read.height)) or max(image.size) > MAX_SIDE:
            return "", f"{image.mode} {image.size} leaves, stated as {read.width} x {read.height}"
    if read_image(read.encoded, reading) != read:
        return "", "reading the result again gives another image"
    return "", ""


@dataclass(frozen=True)
class Subject:
    """What is fuzzed."""

    damaged: Callable[[int, int], bytes]
    """Returns the input of a number, for a seed."""
    look: Callable[[int, bytes], tuple[str, str]]
    """Reads it; returns the reason if it was refused, and what is wrong otherwise."""
    kinds: int
    """Number of successive inputs that are all different kinds."""


SUBJECTS = {
    "images": Subject(lambda number, seed: damaged(_image_seeds(), number, seed), _look, 1),
    "containers": Subject(fuzz_containers.damaged, fuzz_containers.look, len(fuzz_containers.KINDS) - 1),
}


def main() -> int:
    """Run the fuzzing, and return 1 if there are findings."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.programs.fuzz_reader", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--of", choices=SUBJECTS, default="images", help="default: %(default)s")
    parser.add_argument("--inputs", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="seed of the inputs")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("--limit", type=float, default=20.0, metavar="SECONDS", help="longest time for one input")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "fuzz_reader", metavar="DIR")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="read one input in this process")
    parser.add_argument("--worker", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(range(*options.worker), options.seed, options.of)
        return 0
    if options.only is not None:
        subject = SUBJECTS[options.of]
        print(subject.look(options.only, subject.damaged(options.only, options.seed)))
        return 0
    began = time.monotonic()
    figures = Figures()
    threads = [
        threading.Thread(
            target=fuzz,
            args=(
                first,
                options.inputs,
                options.workers,
                options.seed,
                options.limit,
                options.keep,
                figures,
                options.of,
            ),
        )
        for first in range(options.workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{figures.inputs} inputs in {time.monotonic() - began:.0f} s, slowest {figures.slowest:.2f} s")
    print(f"{figures.accepted} accepted, {sum(figures.reasons.values())} refused, {len(figures.findings)} findings")
    for reason, count in figures.reasons.most_common(12):
        print(f"  {count:7} {reason}")
    print(*figures.findings, sep="\n")
    return 1 if figures.findings else 0


if __name__ == "__main__":
    sys.exit(main())
