"""Files that are decoded without the graph: the same pixels, and only files that the graph does nothing else to."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from edgetune.modules.images import graph_read, plain
from edgetune.modules.images.headers import JPEG
from edgetune.modules.images.reader import Unusable, read_image
from edgetune.modules.images.reading import Reading
from tests.helpers import icc_profiles
from tests.helpers.camera_files import (
    ADAM7,
    BIG,
    LITTLE,
    READING,
    REFUSED,
    XMP,
    chunk,
    encoded,
    features,
    jpeg_with,
    pixels,
    png,
    png_with,
    segment,
)

UPRIGHT = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\1\0\0\0\0\0\0\0"
UNSTATED = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x0f\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
GREY = Image.fromarray(pixels()).convert("L")
UNTURNED_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
LARGE = pixels(200, 150)


PLAIN = {
    "JPEG": encoded(pixels(), "JPEG"),
    "grey JPEG": encoded(GREY, "JPEG"),
    "progressive JPEG": encoded(pixels(), "JPEG", progressive=True),
    "upright": encoded(pixels(), "JPEG", exif=UPRIGHT),
    "upright, with another word of XMP": encoded(pixels(), "JPEG", exif=UPRIGHT, xmp=XMP % 6),
    "EXIF without an orientation": encoded(pixels(), "JPEG", exif=UNSTATED, xmp=UNTURNED_XMP),
    "sRGB profile": encoded(pixels(), "JPEG", icc_profile=icc_profiles.srgb()),
    "damaged profile": encoded(pixels(), "JPEG", icc_profile=b"no profile at all"),
    "grey with a profile of RGB": encoded(
        Image.fromarray(pixels()).convert("L"), "JPEG", icc_profile=icc_profiles.srgb()
    ),
    "comment": encoded(pixels(), "JPEG", comment=b"ICC_PROFILE\0 Exif\0\0"),
    "several images": encoded(pixels(), "MPO", save_all=True, append_images=[Image.fromarray(pixels()).rotate(180)]),
    "halved": encoded(LARGE, "JPEG"),
    "quartered": encoded(pixels(400, 300), "JPEG"),
    "eighth": encoded(pixels(120, 790), "JPEG"),
    "slightly too large": encoded(pixels(20, 65), "JPEG"),
    "PNG": encoded(pixels(), "PNG"),
    "grey PNG": encoded(GREY, "PNG"),
    "palette": encoded(Image.fromarray(pixels()).quantize(32), "PNG"),
    "black and white": encoded(Image.fromarray(pixels()).convert("1"), "PNG"),
    "interlaced": png(pixels(), 8, ADAM7),
    "as ingest encodes": tf.io.encode_png(pixels(), 1).numpy(),
    "large PNG": encoded(LARGE, "PNG"),
    "as many chunks as there may be": png_with(*[chunk(b"tEXt", b"a\0b")] * 9996),
    "harmless chunks": png_with(
        chunk(b"gAMA", b"\0\1\x86\xa0"), chunk(b"tEXt", b"Software\0camera"), chunk(b"sRGB", b"\0")
    ),
}
NOT_PLAIN = {
    **{name: content for name, content in features().items() if name in (
        "RGBA", "LA", "palette with alpha", "a transparent color", "16-bit grey", "16-bit RGB", "CMYK", "P3 JPEG",
        "P3 RGBA", "Adobe RGB", "grey profile", 
        "large P3 JPEG", "large P3 turned", "large grey profile", "XMP in JPEG", "XMP in PNG", "animated", 
        "large turned", "Exif in Motorola's order",
    )},
    **{f"refused: {name}": content for name, (content, _) in REFUSED.items() if name != "too large"},
    "XMP with an unreadable orientation": encoded(pixels(), "JPEG", exif=UNSTATED, xmp=b"<exif:Orientation x='6'/>"),
    "orientation of 32 bits": encoded(pixels(), "JPEG", exif=UPRIGHT.replace(b"\x12\1\3", b"\x12\1\4")),
    "orientation twice": jpeg_with(
        segment(0xE1, UPRIGHT[:14] + b"\2\0" + UPRIGHT[16:28] + LITTLE[16:])
    ),
    "EXIF twice": jpeg_with(segment(0xE1, UPRIGHT), segment(0xE1, LITTLE)),
    "EXIF of another byte order": encoded(pixels(), "JPEG", exif=BIG.replace(b"MM", b"XX")),
    "EXIF with its name twice": jpeg_with(segment(0xE1, b"Exif\0\0" + LITTLE)),
    "EXIF that ends early": encoded(pixels(), "JPEG", exif=UPRIGHT[:20]),
    "bytes between segments": jpeg_with(b"\0", segment(0xE1, LITTLE)),
    "fill bytes": jpeg_with(b"\xff", segment(0xE1, LITTLE)),
    "a marker without a length": jpeg_with(b"\xff\x01"),
    "a segment of no length": jpeg_with(b"\xff\xe5\0\0", segment(0xE1, LITTLE)),
    "arithmetic coding": encoded(pixels(), "JPEG").replace(b"\xff\xc0", b"\xff\xc9"),
    "profile with tables": encoded(
        pixels(), "JPEG", icc_profile=icc_profiles.srgb().replace(b"chad", b"A2B0", 1).replace(b"wtpt", b"A2B0", 1)
    ),
    "part of a profile": jpeg_with(segment(0xE2, b"ICC_PROFILE\0\1\2")),
    "profile twice": jpeg_with(*[segment(0xE2, b"ICC_PROFILE\0\1\1" + icc_profiles.srgb())] * 2),
    "two frames": jpeg_with(segment(0xC0, b"\x08\0\x01\0\x01\1\1\x11\0")),
    "more segments than any camera writes": jpeg_with(*[segment(0xEB, b"")] * 100),
    "scan markers": encoded(pixels(), "JPEG", comment=b"\xff\xda" * 101),
    "EXIF in a PNG": png_with(chunk(b"eXIf", LITTLE[6:])),
    "EXIF behind a PNG's pixels": png_with(behind=chunk(b"eXIf", LITTLE[6:])),
    "EXIF as compressed text": png_with(chunk(b"zTXt", b"Raw profile type exif\0\0" + b"x")),
    "profile in a PNG": png_with(chunk(b"iCCP", b"p\0\0")),
    "unknown chunk": png_with(chunk(b"teSt", b"")),
    "behind the end": encoded(pixels(), "PNG") + b"\0",
    "PNG without an end": encoded(pixels(), "PNG")[:-12],
    "PNG of no size": encoded(pixels(), "PNG").replace(b"\0\0\0\x30\0\0\0\x28", bytes(8)),
}  # fmt: skip


def by_graph(content: bytes, reading: Reading) -> np.ndarray:
    fault, found = graph_read.read_by_graph(tf.constant(content), reading)
    assert not fault.numpy()
    return found.numpy()


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("reading", [Reading(max_side=64), Reading()], ids=["small", "any size"])
def test_a_plain_file_has_the_pixels_that_the_graph_reads(name, reading, monkeypatch):
    content = PLAIN[name]
    expected = by_graph(content, reading)
    monkeypatch.setattr(graph_read, "read_by_graph", None)
    fault, found = graph_read.read(tf.constant(content), reading)
    assert not fault.numpy()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_a_file_with_anything_else_is_read_by_the_graph(name, monkeypatch):
    monkeypatch.setattr(graph_read, "read_by_graph", lambda *_: "by the graph")
    assert graph_read.read(tf.constant(NOT_PLAIN[name]), Reading()) == "by the graph"


@pytest.mark.parametrize("name", features())
def test_whatever_is_special_about_a_file_its_pixels_are_those_of_the_graph(name):
    content = features()[name]
    fault, found = graph_read.read(tf.constant(content), READING)
    assert not fault.numpy()
    np.testing.assert_array_equal(found, by_graph(content, READING))


def test_sizes_are_those_of_the_file_and_the_limit_of_pixels_holds():
    for kind in ("JPEG", "PNG"):
        assert plain.inspect(encoded(pixels(30, 20), kind)) == (20, 30, 3, b"")
        fault, found = graph_read.read(tf.constant(encoded(pixels(30, 20), kind)), Reading(599))
        assert fault.numpy() == b"has more than 599 pixels: send fewer" and found.shape == (0, 0, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_no_cut_or_changed_byte_makes_another_image_of_a_file(kind):
    """Every cut and single changed byte of the header: not plain, or the same result as the graph's."""
    content = encoded(Image.fromarray(pixels(9, 7)), kind, exif=LITTLE)
    plain_one = encoded(Image.fromarray(pixels(9, 7)), kind, exif=UPRIGHT if kind == "JPEG" else b"")
    draw = np.random.default_rng(1)
    files = [one[: draw.integers(len(one))] for one in (content, plain_one) for _ in range(20)]
    for _ in range(300):
        changed = bytearray(plain_one if draw.random() < 0.7 else content)
        changed[draw.integers(min(len(changed), 250))] = draw.integers(256)
        files.append(bytes(changed))
    plains = [one for one in files if plain.inspect(one)]
    assert len(plains) > 20
    for one in plains:
        results = []
        for read in (graph_read.read, graph_read.read_by_graph):
            try:
                fault, found = read(tf.constant(one), Reading(10_000))
                results.append((fault.numpy(), found.numpy().tobytes(), found.shape))
            except tf.errors.InvalidArgumentError:
                results.append("damaged")
        assert results[0] == results[1]


def test_ingest_reads_plain_files_without_the_graph(monkeypatch):
    monkeypatch.setattr(graph_read, "_function", None)
    for name, content in PLAIN.items():
        read = read_image(content, Reading(max_side=64))
        assert max(read.width, read.height) <= 64
        assert read.is_plain and (read.encoded == content) == (max(plain.inspect(content)[:2]) <= 64), name
    with pytest.raises(Unusable, match="object is not callable"):  # the others do need it
        read_image(NOT_PLAIN["RGBA"], Reading())


def test_what_ingest_stores_as_plain_is_read_by_decoding_alone():
    kinds = set()
    for content in [*PLAIN.values(), *features().values()]:
        for reading in (Reading(), Reading(max_side=64)):
            stored = read_image(content, reading)
            kinds.add((stored.is_plain, stored.encoded == content, stored.encoded.startswith(JPEG)))
            expected = by_graph(stored.encoded, reading)
            fault, found = graph_read.read_stored(tf.constant(stored.encoded), tf.constant(stored.is_plain), reading)
            assert not fault.numpy()
            np.testing.assert_array_equal(found, expected)
    kept = {(is_plain, True, is_jpeg) for is_plain in (True, False) for is_jpeg in (True, False)}
    assert kinds == {*kept, (True, False, False)}  # others are stored as a PNG
