"""Compare the pixels that edgetune reads with those of libvips, for all files of a folder.

    python -m benchmarks.ingest.decoders DIR [--tolerance 2 0.5] [--worst 20]

Files are equal if they have the same size, and their levels (0..255) differ by at most the first number, and by at most
the second one on average. The worst of the others are listed, and every file that only one of both reads, with the
reason of the other.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.lib import libvips

EQUAL, DIFFERENT, BY_US, BY_LIBVIPS, BY_BOTH = "equal", "different", "refused by us", "refused by libvips", "by both"


@dataclass(frozen=True)
class Compared:
    """What both make of a file."""

    verdict: str
    """One of the constants of this module."""
    largest: int = 0
    """Largest difference of a level, 0..255."""
    mean: float = 0.0
    """Mean difference of the levels."""
    reason: str = ""
    """Why it is refused, or how the sizes differ."""


def compare(content: bytes, ours: Callable[[bytes], np.ndarray], largest: float, mean: float) -> Compared:
    """Compare the pixels of both.

    Args:
        content: The bytes of a file.
        ours: Returns uint8 `[height, width, 3]`, or raises `Unusable`.
        largest: Largest difference of a level that counts as equal.
        mean: Largest mean difference that does.
    """
    from edgetune.modules.images.reader import Unusable

    reasons: list[str] = []
    found: list[np.ndarray | None] = []
    for read in (ours, libvips.read):
        try:
            found.append(read(content))
        except (Unusable, libvips.Refused) as error:
            found.append(None)
            reasons.append(str(error))
    left, right = found
    if left is None or right is None:
        verdict = BY_BOTH if left is right else BY_US if left is None else BY_LIBVIPS
        return Compared(verdict, reason="; ".join(reasons))
    if left.shape != right.shape:
        sizes = (f"{pixels.shape[1]} x {pixels.shape[0]}" for pixels in (left, right))
        return Compared(DIFFERENT, 255, 255.0, " instead of ".join(sizes))
    off = np.abs(left.astype(np.int16) - right.astype(np.int16))
    most, average = int(off.max(initial=0)), float(off.mean())
    return Compared(EQUAL if most <= largest and average <= mean else DIFFERENT, most, average)


def ours(content: bytes) -> np.ndarray:
    """Return the pixels that later components read from what ingest stores of a file.

    Raises:
        Unusable: The file is refused.
    """
    from edgetune.modules.images import graph_read
    from edgetune.modules.images.reader import read_image
    from edgetune.modules.images.reading import Reading

    fault, pixels = graph_read.attempt(read_image(content, Reading()).encoded, Reading())
    assert not fault, fault
    return pixels


def main() -> None:
    """Compare and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--tolerance", type=float, nargs=2, default=(2, 0.5), metavar=("LARGEST", "MEAN"))
    parser.add_argument("--worst", type=int, default=20, help="number of different files that are listed")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    files = sorted(path for path in options.folder.rglob("*") if path.is_file())
    results = {path.relative_to(options.folder): compare(path.read_bytes(), ours, *options.tolerance) for path in files}
    counts = Counter(result.verdict for result in results.values())
    print(f"{len(files)} files: " + ", ".join(f"{verdict} {count}" for verdict, count in counts.most_common()))
    pairs = [result for result in results.values() if result.verdict == EQUAL]
    if pairs:
        largest, mean = max(pair.largest for pair in pairs), float(np.mean([pair.mean for pair in pairs]))
        print(f"equal files: largest difference {largest}, mean difference {mean:.3f} of 255 levels")
    different = [item for item in results.items() if item[1].verdict == DIFFERENT]
    for path, result in sorted(different, key=lambda item: -item[1].mean)[: options.worst]:
        print(f"different: {path}: largest {result.largest}, mean {result.mean:.2f} {result.reason}")
    for path, result in results.items():
        if result.verdict not in (EQUAL, DIFFERENT):
            print(f"{result.verdict}: {path}: {result.reason[:200]}")


if __name__ == "__main__":
    main()
