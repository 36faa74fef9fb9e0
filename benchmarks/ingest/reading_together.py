"""Compare reading image files one by one with reading several in a call, and show where the time goes.

    python -m benchmarks.ingest.reading_together --data DIR [--images 200] [--rounds 5]

Milliseconds of processor time for an image, in one thread, measured in turns; the medians of the rounds are printed.
Both ways must return the same, which is checked.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

_TOGETHER = 16
_SIDE = 320


def main() -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photographs as DIR/<class>/*.jpg")
    parser.add_argument("--images", type=int, default=200, help=f"most files, of {_SIDE} pixels on the longer side")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from edgetune.modules.images import graph_read, perceptual_hash
    from edgetune.modules.images.reader import read_image, read_images
    from edgetune.modules.images.reading import Reading

    reading = Reading()
    files = [path for path in sorted(options.data.glob("*/*.jpg")) if max(Image.open(path).size) == _SIDE]
    contents = [path.read_bytes() for path in files[: options.images]]
    pixels = [graph_read.attempt(content, reading)[1] for content in contents]
    batches = [contents[at : at + _TOGETHER] for at in range(0, len(contents), _TOGETHER)]
    ways: dict[str, Callable[[], Any]] = {
        "decode": lambda: [graph_read.attempt(content, reading) for content in contents],
        "SHA-256": lambda: [hashlib.sha256(one.data).hexdigest() for one in pixels],
        "scale to 64 x 64": lambda: [perceptual_hash.small(one) for one in pixels],
        "one by one": lambda: [read_image(content, reading) for content in contents],
        f"{_TOGETHER} together": lambda: [one for batch in batches for one in read_images(batch, reading)],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for _ in range(options.rounds):
        for name, way in ways.items():
            began = time.process_time()
            found[name] = way()
            seconds[name].append(time.process_time() - began)
    assert found["one by one"] == found[f"{_TOGETHER} together"], "both ways must return the same"
    print(f"{len(contents)} files of {_SIDE} pixels, processor time of each, median of {options.rounds} rounds:")
    for name, measured in seconds.items():
        print(f"{name:<18} {1000 * statistics.median(measured) / len(contents):.2f} ms")


if __name__ == "__main__":
    main()
