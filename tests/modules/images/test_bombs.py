"""Files that are small on disk but large in memory or slow to decode."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from edgetune.modules.images import graph_read, headers
from edgetune.modules.images.reader import Unusable, read_image
from edgetune.modules.images.reading import MOST_SIDE, Reading
from tests.helpers import icc_profiles
from tests.helpers.camera_files import chunk, encoded

_PIXELS = 4_000_000
# Reads each file as ingest does and as the exported graph does, in one process: importing TensorFlow takes longest.
_PROGRAM = """
import json, pathlib, sys
from tests.helpers.peak_memory import growth_of  # first, because TensorFlow loads a package named tests too
import tensorflow as tf
from edgetune.modules.images import pillow_process, pillow_read
from edgetune.modules.images.decode import decode_to_raw
from edgetune.modules.images.reader import Unusable, read_image
from edgetune.modules.images.reading import Reading

pillow_process.read = pillow_read.pixels  # in this process, whose memory is measured
reading, any_side = Reading(int(sys.argv[1]), 64), Reading(int(sys.argv[1]))
spec = [tf.TensorSpec([None], tf.string)]
answer, any_answer = (
    tf.function(lambda batch, how=how: decode_to_raw(batch, 224, how), input_signature=spec, autograph=False)
    for how in (reading, any_side)
)
first, *files = map(pathlib.Path, sys.argv[2:])
ways = {
    "ingest": lambda content: read_image(content, reading),
    "graph": lambda content: answer(tf.constant([first.read_bytes(), content])),
    "ingest, any side": lambda content: read_image(content, any_side),
    "graph, any side": lambda content: any_answer(tf.constant([first.read_bytes(), content])),
}
for way in ways.values():
    way(first.read_bytes())
for file in files:
    content = file.read_bytes()
    for name, way in ways.items():
        if name.endswith("any side") and "line" not in file.name:
            continue
        reason = ""
        with growth_of() as growth:
            try:
                way(content)
            except (Unusable, tf.errors.InvalidArgumentError) as error:
                reason = str(error)
        print(json.dumps([name, file.name, reason, growth.bytes]))
"""


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """Return a grey PNG of zeros, compressed row by row to save memory."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = b"".join(chunks) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def webp(width: int, height: int) -> bytes:
    """Return an animation of one small frame on a canvas of that size."""
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    content = bytearray(buffer.getvalue())
    for offset, side in ((24, width), (27, height)):
        content[offset : offset + 3] = (side - 1).to_bytes(3, "little")
    return bytes(content)


def gif(width: int, height: int) -> bytes:
    """Return a GIF whose frame claims that size but has the data of a small one."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "GIF")
    content = bytearray(buffer.getvalue())
    struct.pack_into("<HH", content, 6, width, height)
    frame = content.index(b",")
    struct.pack_into("<HH", content, frame + 5, width, height)
    # Disposal to background: Pillow allocates a background of the frame's size when it opens the file.
    content[frame:frame] = b"!\xf9\4\x08\0\0\0\0"
    return bytes(content)


def tiff(tile: int) -> bytes:
    """Return a TIFF of 16 x 16 pixels in one deflated tile with that side."""
    packer = zlib.compressobj(1)
    tile_bytes = b"".join(packer.compress(bytes(tile)) for _ in range(tile)) + packer.flush()
    tags = [(256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (277, 1), (322, tile), (323, tile), (324, 146)]
    tags.append((325, len(tile_bytes)))
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    content = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + directory + bytes(4)
    return content + bytes(146 - len(content)) + tile_bytes


def scans(number: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated `number` times."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)).save(
        buffer, "JPEG", progressive=True
    )
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * number + content[-2:]


BOMBS = {
    "pixels.png": lambda: png(16_000, 16_000),
    "profile.png": lambda: png(8, 8, chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(60_000_000), 1))),
    "text.png": lambda: png(8, 8, *(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(30_000_000), 1)) for _ in range(3))),
    "canvas.webp": lambda: webp(16_000, 16_000),
    "tile.tif": lambda: tiff(8_000),
    "screen.gif": lambda: gif(9_000, 9_000),
}
LINES = {"line.png": lambda: png(1_000_000, 1), "line down.png": lambda: png(1, 1_000_000)}
LARGEST = Image.new("RGB", (2000, 2000), "red")
ALLOWED = {
    "allowed.png": (LARGEST, {}),
    "allowed alpha.png": (LARGEST.convert("RGBA"), {}),
    "allowed wide.png": (LARGEST.convert("RGBA"), {"icc_profile": icc_profiles.display_p3()}),
    "allowed deep.png": (Image.fromarray(np.zeros((2000, 2000), np.uint16)), {}),
    "allowed palette.gif": (LARGEST, {}),
    "allowed progressive.jpg": (LARGEST, {"progressive": True}),
    "allowed.tif": (LARGEST.convert("CMYK"), {"compression": "tiff_deflate"}),
    "allowed.webp": (LARGEST, {"lossless": True}),
    "allowed.avif": (LARGEST, {"speed": 10}),
}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory, root: Path) -> dict[tuple[str, str], tuple[str, int]]:
    """Error message and memory growth of the process in bytes, by the way of reading and the file's name."""
    folder = tmp_path_factory.mktemp("bombs")
    files = {"first.png": png(8, 8), **{name: make() for name, make in {**BOMBS, **LINES}.items()}}
    for name, (image, options) in ALLOWED.items():
        files[name] = encoded(image, Path(name).suffix[1:].replace("jpg", "jpeg").replace("tif", "tiff"), **options)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    assert len(files["pixels.png"]) < 300_000
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(_PIXELS), *(str(folder / name) for name in files)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return {(way, name): (reason, growth) for way, name, reason, growth in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pixels.png", "more pixels than data.max_pixels 4000000"),
        ("canvas.webp", "16000 x 16000 pixels are more than data.max_pixels 4000000"),
        ("tile.tif", "8000 x 8000 pixels are more than data.max_pixels 4000000"),
        ("screen.gif", "more pixels than data.max_pixels 4000000"),
        ("text.png", "damaged: Decompressed data too large"),
        ("profile.png", "damaged: Decompressed data too large"),
    ],
)
def test_ingest_refuses_a_bomb_before_it_takes_memory(read, name, reason):
    found, growth = read["ingest", name]
    assert found.startswith(reason)
    assert growth < 16 << 20


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pixels.png", "has more than 4000000 pixels: send fewer"),
        ("canvas.webp", "is a WebP image: send JPEG or PNG"),
        ("tile.tif", "is a TIFF image: send JPEG or PNG"),
        ("screen.gif", "is a GIF image: send JPEG or PNG"),
        ("profile.png", "has a large color profile: send it as sRGB"),
    ],
)
def test_the_exported_graph_refuses_a_bomb_before_it_takes_memory(read, name, reason):
    found, growth = read["graph", name]
    assert f"image 2 of 2 {reason}" in found
    assert growth < 16 << 20


def test_the_exported_graph_ignores_packed_text(read):
    reason, growth = read["graph", "text.png"]
    assert not reason and growth < 16 << 20


def test_memory_for_allowed_images_is_proportional_to_their_pixels(read):
    assert [name for name in ALLOWED if read["ingest", name][0]] == []
    assert max(read["ingest", name][1] for name in ALLOWED) < 24 * _PIXELS, read
    graph = {name: read["graph", name] for name in ALLOWED if name.endswith(("png", "jpg"))}
    assert not any(reason for reason, _ in graph.values())
    assert max(growth for _, growth in graph.values()) < 32 * _PIXELS, graph


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("way", ["ingest", "graph", "ingest, any side", "graph, any side"])
def test_a_line_of_a_million_pixels_takes_little_memory(read, way, name):
    """Resizing takes memory for the size of the result times the length of the line: 224 x 1,000,000 x 12 bytes."""
    reason, growth = read[way, name]
    assert not reason and growth < 64 << 20


@pytest.mark.parametrize("way", [graph_read.read, graph_read.read_by_graph])
def test_no_image_has_a_longer_side_than_the_limit_even_if_any_is_allowed(way):
    for size, shape in (((40_000, 3), (1, MOST_SIDE, 3)), ((3, 40_000), (MOST_SIDE, 1, 3))):
        for content in (png(*size), encoded(Image.new("L", size), "JPEG")):
            for reading in (Reading(), Reading(max_side=30_000)):
                fault, pixels = way(tf.constant(content), reading)
                assert not fault.numpy() and pixels.shape == shape
                stored = read_image(content, reading)
                assert stored.encoded.startswith(b"\x89PNG") and (stored.height, stored.width, 3) == shape
    fault, pixels = way(tf.constant(png(MOST_SIDE, 2)), Reading())
    assert not fault.numpy() and pixels.shape == (2, MOST_SIDE, 3)
    assert read_image(png(MOST_SIDE, 2), Reading()).encoded == png(MOST_SIDE, 2)


def test_pillows_images_have_the_same_limit():
    stored = read_image(encoded(Image.new("L", (40_000, 3)), "BMP"), Reading())
    assert (stored.height, stored.width) == (1, MOST_SIDE)


def test_a_jpeg_with_more_scans_than_the_limit_is_refused():
    reads = scans(headers.MAX_SCANS - 20)
    assert read_image(reads, Reading(10_000)).width == 64
    with pytest.raises(Unusable, match="a JPEG of more than 100 scans"):
        read_image(scans(headers.MAX_SCANS + 1), Reading(10_000))


def test_scan_markers_after_the_end_of_a_jpeg_or_in_a_comment_do_not_count():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", comment=b"\xff\xda" * 200)
    content = buffer.getvalue() + b"\xff\xda\0\2" * 200
    assert read_image(content, Reading(100)).encoded == content


def test_a_graph_may_count_scans_behind_the_end_and_ingest_does_not():
    content = scans(1) + b"\xff\xda\0\2" * 200
    fault, _ = graph_read.read(tf.constant(content), Reading(10_000))
    assert fault.numpy() == b"is a JPEG of more than 100 scans: send one with fewer"
    assert read_image(content, Reading(10_000)).encoded.startswith(b"\x89PNG")
