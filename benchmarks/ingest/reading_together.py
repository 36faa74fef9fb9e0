"""Show where the time of reading goes, in ImageExampleGen and in Transform.

    python -m benchmarks.ingest.reading_together --data DIR [--images 200] [--rounds 5]

Milliseconds of processor time for an image, in one thread, measured in turns; the medians of the rounds are printed.
ImageExampleGen reads one by one or several files in a call, and Transform's graph reads what was sent by anybody or
what ingest has stored as plain: both ways must return the same, which is checked. Without `--all`, only plain files are
read, as most are.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_TOGETHER = 16
_SIDE = 320
_SIZE = 224
_IN_A_BATCH = 32  # of Transform
_ONE_BY_ONE, _AT_ONCE = "read_image, one by one", f"read_images, {_TOGETHER} together"
_AS_SENT, _AS_STORED = "Transform's graph, as anybody sends", "Transform's graph, as ingest stores"


def main() -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photographs as DIR/<class>/*.jpg")
    parser.add_argument("--images", type=int, default=200, help=f"most files, of {_SIDE} pixels on the longer side")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--all", action="store_true", help="files that are not plain, too")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from edgetune.components.common.record_writer import huffman_only
    from edgetune.components.image_example_gen.raw_example import accepted
    from edgetune.modules.examples.pixel_packing import pack
    from edgetune.modules.images import graph_read, jpeg_scans, perceptual_hash, plain
    from edgetune.modules.images.decode import decode_to_raw
    from edgetune.modules.images.reader import ReadImage, read_image, read_images
    from edgetune.modules.images.reading import Reading

    reading = Reading()

    def is_wanted(content: bytes) -> bool:
        return options.all or graph_read.is_as_decoded(plain.inspect(content), reading)

    files = (path for path in sorted(options.data.glob("*/*.jpg")) if max(Image.open(path).size) == _SIDE)
    contents = list(itertools.islice(filter(is_wanted, (path.read_bytes() for path in files)), options.images))
    pixels = [graph_read.attempt(content, reading)[1] for content in contents]
    scans = [jpeg_scans.scans(content) for content in contents]
    small = [perceptual_hash.small(one) for one in pixels]
    batches = [contents[at : at + _TOGETHER] for at in range(0, len(contents), _TOGETHER)]
    stored = [one for batch in batches for one in read_images(batch, reading) if isinstance(one, ReadImage)]

    def decoded(content: bytes, _: bool = True) -> Any:
        return np.asarray(memoryview(tf.io.decode_jpeg(content, 3, dct_method="INTEGER_ACCURATE")))

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])
    def as_sent(encoded: tf.Tensor) -> tf.Tensor:
        return decode_to_raw(encoded, _SIZE, reading)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.bool)])
    def as_stored(encoded: tf.Tensor, are_plain: tf.Tensor) -> tf.Tensor:
        return decode_to_raw(encoded, _SIZE, reading, are_plain)

    given = [stored[at : at + _IN_A_BATCH] for at in range(0, len(stored), _IN_A_BATCH)]
    pairs = [
        (tf.constant([one.encoded for one in some]), tf.constant([one.is_plain for one in some])) for some in given
    ]
    raw = [one for pair in pairs for one in as_stored(*pair).numpy()]
    packed = io.BytesIO(b"".join(map(pack, raw))).getbuffer()

    def compress() -> None:
        for at in range(0, len(packed), 1 << 20):
            packer = huffman_only()
            packer.compress(packed[at : at + (1 << 20)])
            packer.flush()

    ways: dict[str, Callable[[], Any]] = {
        "decode": lambda: [decoded(content) for content in contents],
        "is it whole": lambda: [jpeg_scans.is_whole(*of, decoded) for of in zip(contents, scans, pixels, strict=True)],
        "decode, with checks and colors": lambda: [graph_read.attempt(content, reading) for content in contents],
        "SHA-256": lambda: [hashlib.sha256(one.data).hexdigest() for one in pixels],
        "scale to 64 x 64": lambda: [perceptual_hash.small(one) for one in pixels],
        "hashes and facts": lambda: [
            perceptual_hash.appearances(small[at : at + _TOGETHER]) for at in range(0, len(small), _TOGETHER)
        ],
        _ONE_BY_ONE: lambda: [read_image(content, reading) for content in contents],
        _AT_ONCE: lambda: [one for batch in batches for one in read_images(batch, reading)],
        "as a raw example": lambda: [accepted(one, "label", "source") and None for one in stored],
        _AS_SENT: lambda: [one for encoded, _ in pairs for one in as_sent(encoded).numpy()],
        _AS_STORED: lambda: [one for pair in pairs for one in as_stored(*pair).numpy()],
        "pack": lambda: [pack(one) for one in raw],
        "compress": compress,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for _ in range(options.rounds):
        for name, way in ways.items():
            began = time.process_time()
            found[name] = way()
            seconds[name].append(time.process_time() - began)
    assert found[_ONE_BY_ONE] == found[_AT_ONCE], "both ways must return the same"
    assert found[_AS_SENT] == found[_AS_STORED], "both ways must return the same"
    print(f"{len(contents)} files of {_SIDE} pixels, processor time of each, median of {options.rounds} rounds:")
    for name, measured in seconds.items():
        print(f"{name:<40} {1000 * statistics.median(measured) / len(contents):.2f} ms")


if __name__ == "__main__":
    main()
