"""Measure what storing pixels as PNG costs against a JPEG, and what reading one image takes at ingest.

    python -m benchmarks.ingest.stored --data DIR

Processor milliseconds for each image, the best of three passes, in one process: encoding what ingest stores of a
converted or shrunk photograph in several ways, and decoding it again; then `read_image`, and in it the reading of the
pixels, with and without the shortcut for plain files, for the photographs as they are and for some twins of them.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.lib.measure import cpu_name
from edgetune.modules.images import graph_read
from edgetune.modules.images.reader import read_image
from edgetune.modules.images.reading import Reading

_SIDE = 640
_ORIENTATION = 0x0112


def _pillow(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _tensorflow(pixels: np.ndarray, level: int) -> bytes:
    return bytes(tf.io.encode_png(pixels, level).numpy())


_WAYS: dict[str, Callable[[np.ndarray], bytes]] = {
    "JPEG, quality 95": partial(_pillow, kind="JPEG", quality=95, subsampling=0),
    "PNG, Pillow, level 1": partial(_pillow, kind="PNG", compress_level=1),
    "PNG, Pillow, level 6": partial(_pillow, kind="PNG", compress_level=6),
    "PNG, TensorFlow, level 1": partial(_tensorflow, level=1),
    "PNG, TensorFlow, level 3": partial(_tensorflow, level=3),
}


def _milliseconds(work: Callable[[Any], object], items: list[Any]) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        for item in items:
            work(item)
        best = min(best, time.process_time() - began)
    return 1000 * best / len(items)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs, DIR/<class>/*.jpg")
    parser.add_argument("--images", type=int, default=40, help="default: %(default)s")
    options = parser.parse_args()
    paths = sorted(options.data.glob("*/*.jpg"))
    contents = [path.read_bytes() for path in paths[:: max(1, len(paths) // options.images)]]
    reading, pixels = Reading(max_side=_SIDE), []
    for content in contents:
        with Image.open(io.BytesIO(content)) as image:
            image.thumbnail((_SIDE, _SIDE))
            pixels.append(np.asarray(image.convert("RGB")))
    print(f"{cpu_name()}; {len(pixels)} images of {np.mean([one.size / 3 for one in pixels]) / 1e6:.2f} megapixels")
    for name, encode in _WAYS.items():
        files = [encode(one) for one in pixels]
        read = partial(tf.io.decode_image, channels=3)
        again = _milliseconds(read, files)
        size = np.mean([len(file) for file in files]) / 1000
        print(f"{name}: {_milliseconds(encode, pixels):.1f} ms, {size:.0f} kB, decoded in {again:.1f} ms")
    for name, files in {"as they are": contents, **_twins(pixels)}.items():
        shares = [_milliseconds(partial(way, reading=reading), files) for way in (read_image, _read, _read_by_graph)]
        print(f"{name}: read_image {shares[0]:.2f} ms; pixels {shares[1]:.2f} ms, by the graph {shares[2]:.2f} ms")


def _twins(pixels: list[np.ndarray]) -> dict[str, list[bytes]]:
    turned = Image.Exif()
    turned[_ORIENTATION] = 6
    larger = [np.asarray(Image.fromarray(one).resize((1600, 1200))) for one in pixels]
    return {
        "plain": [_pillow(one, "JPEG", quality=90) for one in pixels],
        "turned": [_pillow(one, "JPEG", quality=90, exif=turned) for one in pixels],
        "1600 x 1200": [_pillow(one, "JPEG", quality=90) for one in larger],
        "1600 x 1200, turned": [_pillow(one, "JPEG", quality=90, exif=turned) for one in larger],
    }


def _read(content: bytes, reading: Reading) -> object:
    return graph_read.read(tf.constant(content), reading)


def _read_by_graph(content: bytes, reading: Reading) -> object:
    return graph_read.read_by_graph(tf.constant(content), reading)


if __name__ == "__main__":
    main()
