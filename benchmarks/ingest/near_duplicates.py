"""Measure the search for near-duplicates, whose time must not grow with the square of the number of images.

    python -m benchmarks.ingest.near_duplicates [--images 100000]

There are three kinds of data: random hashes with some true near-duplicates; the same hash for all images, as of blank
pages, which is collapsed before anything is compared; and a crowd of different hashes that are all within the distance
of each other, for which a limit on comparisons bounds the cost. Each is measured for a quarter, a half and all images.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from edgetune.modules.data import near_duplicates
from edgetune.modules.images.perceptual_hash import BITS, SIGNATURE

_DISTANCE = 12
_BYTES = BITS // 8


def _random(images: int, generator: np.random.Generator) -> np.ndarray:
    """Return random hashes, one in ten of which is a copy of another with up to six bits changed."""
    signatures = generator.integers(0, 256, (images, SIGNATURE), dtype=np.uint8)
    signatures[:, _BYTES:] = 128
    copies = images // 10
    signatures[-copies:] = _changed(signatures[:copies], 6, generator)
    return signatures


def _equal(images: int, generator: np.random.Generator) -> np.ndarray:
    return np.repeat(generator.integers(0, 256, (1, SIGNATURE), dtype=np.uint8), images, axis=0)


def _crowd(images: int, generator: np.random.Generator) -> np.ndarray:
    return _changed(_equal(images, generator), 5, generator)


def _changed(signatures: np.ndarray, bits: int, generator: np.random.Generator) -> np.ndarray:
    unpacked = np.unpackbits(signatures[:, :_BYTES], axis=1)
    rows = np.arange(len(signatures))
    for _ in range(bits):
        unpacked[rows, generator.integers(0, BITS, len(signatures))] ^= 1
    return np.concatenate([np.packbits(unpacked, axis=1), signatures[:, _BYTES:]], axis=1)


def search(signatures: np.ndarray) -> tuple[int, int]:
    """Collapse, compare by bands and group signatures as the pipeline does, but in one process.

    Returns:
        Number of distinct signatures, and of groups of more than one of them.
    """
    distinct = np.unique(signatures.view(f"V{SIGNATURE}")).view(np.uint8).reshape(-1, SIGNATURE)
    images = [near_duplicates.Image(row.to_bytes(4, "big"), "") for row in range(len(distinct))]
    edges = [
        edge
        for band in range(_DISTANCE + 1)
        for edge in near_duplicates.forest(
            images, near_duplicates.near_pairs(distinct, near_duplicates.is_old(images), _DISTANCE, band)
        )
    ]
    return len(distinct), len({member.group for member in near_duplicates.groups(edges)})


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000, help="default: %(default)s")
    most = parser.parse_args().images
    print(f"{'hashes':<8} {'images':>9} {'distinct':>9} {'groups':>7} {'seconds':>8}")
    for name, make in (("random", _random), ("equal", _equal), ("crowd", _crowd)):
        for images in (most // 4, most // 2, most):
            signatures = np.ascontiguousarray(make(images, np.random.default_rng(1)))
            start = time.perf_counter()
            distinct, groups = search(signatures)
            seconds = time.perf_counter() - start
            print(f"{name:<8} {images:>9,} {distinct:>9,} {groups:>7,} {seconds:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
