"""Conversion of every mode and colour profile to sRGB."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from edgetune.modules.core import bounds
from edgetune.modules.images import reader
from edgetune.modules.images.colour import to_srgb
from edgetune.modules.images.reader import ReadImage, Unusable
from edgetune.modules.images.reading import Reading
from tests.helpers import icc_profiles
from tests.helpers.peak_memory import growth_of

LIMIT = 10_000_000


def read_image(content: bytes, *options: object, **named: object) -> ReadImage:
    return reader.read_image(content, Reading(*options, **named))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels_of(content: bytes, **options: object) -> np.ndarray:
    """Return what the exported graph reads from what ingest stores of a file."""
    read = read_image(content, LIMIT, **options)
    pixels = reader._by_graph(read.encoded, Reading(LIMIT, **options))
    assert pixels is not None and pixels.shape[:2] == (read.height, read.width)
    return pixels.astype(int)


def colour(content: bytes, **options: object) -> tuple[int, ...]:
    """Return the uniform colour of an image after reading."""
    pixels = pixels_of(content, **options).reshape(-1, 3)
    assert np.ptp(pixels, axis=0).max() <= 3
    return tuple(pixels[0])


def first_colour(content: bytes) -> tuple[int, ...]:
    """Return the colour of the first pixel after reading."""
    return tuple(pixels_of(content)[0, 0])


def near(found: tuple[int, ...], expected: tuple[int, ...], by: int = 3) -> bool:
    return max(abs(one - other) for one, other in zip(found, expected, strict=True)) <= by


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_profile_is_applied(kind):
    image = Image.new("RGB", (16, 8), (200, 30, 60))
    options = {"lossless": True} if kind == "WEBP" else {"subsampling": 0} if kind == "JPEG" else {}
    content = encoded(image, kind, icc_profile=icc_profiles.red_is_green(), **options)
    assert near(colour(content), (30, 200, 60), 4)
    assert (read_image(content, LIMIT).encoded == content) == (kind in ("PNG", "JPEG"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_with_an_srgb_profile_keeps_its_bytes(kind):
    for mode, profile in (("RGB", icc_profiles.srgb()), ("L", icc_profiles.srgb()), ("RGB", b"no profile at all")):
        content = encoded(Image.new(mode, (9, 6), 77), kind, icc_profile=profile)
        assert read_image(content, LIMIT).encoded == content, (mode, profile[:9])


def test_a_profile_for_another_kind_of_pixels_is_ignored():
    content = encoded(Image.new("RGB", (9, 6), (1, 2, 3)), "PNG", icc_profile=icc_profiles.cyan_is_black())
    assert read_image(content, LIMIT).encoded == content


def test_large_profiles_do_not_fill_the_memory():
    """The conversions are kept by the bytes of their profiles."""
    image = Image.new("RGB", (8, 8), (200, 40, 40))
    made = icc_profiles.display_p3()
    with growth_of() as growth:
        for number in range(12):
            padded = made + bytes([number]) * (bounds.SMALL_PROFILE * 8)
            assert to_srgb(image, padded, "white").getpixel((0, 0)) == to_srgb(image, made, "white").getpixel((0, 0))
    assert growth.bytes < 48 << 20


def test_a_profile_beyond_the_bound_is_refused():
    with pytest.raises(Unusable, match=f"its color profile has {bounds.MAX_PROFILE + 1} bytes, more than "):
        read_image(encoded(Image.new("RGB", (8, 8)), "TIFF", icc_profile=bytes(bounds.MAX_PROFILE + 1)), LIMIT)


def test_a_grey_profile_is_applied():
    content = encoded(Image.new("L", (9, 6), 128), "PNG", icc_profile=icc_profiles.linear_grey())
    assert near(colour(content), (188, 188, 188))


def test_a_profile_is_applied_with_a_palette_and_with_alpha():
    palette = Image.new("P", (4, 4))
    palette.putpalette([200, 30, 60])
    assert near(colour(encoded(palette, "PNG", icc_profile=icc_profiles.red_is_green())), (30, 200, 60))
    half = Image.new("RGBA", (4, 4), (200, 30, 60, 1))
    assert near(colour(encoded(half, "PNG", icc_profile=icc_profiles.red_is_green())), (255, 255, 255))
    half.putalpha(255)
    assert near(colour(encoded(half, "PNG", icc_profile=icc_profiles.red_is_green())), (30, 200, 60))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_converted_and_not_inverted(kind):
    assert near(colour(encoded(Image.new("CMYK", (16, 8), (0, 255, 255, 0)), kind)), (255, 0, 0), 8)
    assert near(colour(encoded(Image.new("CMYK", (16, 8), (0, 0, 0, 0)), kind)), (255, 255, 255), 8)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_with_a_profile_is_converted_by_the_profile(kind):
    profile = icc_profiles.cyan_is_black()
    for ink, expected in (((255, 0, 0, 0), 0), ((0, 255, 255, 255), 255)):
        content = encoded(Image.new("CMYK", (16, 8), ink), kind, icc_profile=profile)
        assert near(colour(content), (expected,) * 3, 8), ink


def test_lab_is_converted():
    # sRGB red is L 54, a 81, b 70 (at D50); Pillow stores a and b with an offset of 128.
    content = encoded(Image.merge("LAB", [Image.new("L", (8, 8), level) for level in (138, 209, 198)]), "TIFF")
    assert near(colour(content), (255, 0, 0), 6)


def deep_rgb(*values: int) -> bytes:
    """Return a PNG of one pixel with 16 bits a channel."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">3H", *values)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def test_sixteen_bits_a_channel_are_scaled_by_their_full_range():
    content = deep_rgb(65535, 257 * 90, 0)
    assert read_image(content, LIMIT).encoded == content
    assert colour(content) == (255, 90, 0)
    for level, expected in ((0, 0), (128, 0), (129, 1), (257 * 90, 90), (32768, 128), (65535, 255)):
        grey = Image.fromarray(np.array([[level, 65535]], np.uint16).repeat(4, 0))
        for kind in ("PNG", "TIFF"):
            assert first_colour(encoded(grey, kind)) == (expected,) * 3, (level, kind)


def test_twelve_bits_are_scaled_by_their_full_range():
    rows = b"".join(bytes((0xFF, 0xFF, 0xFF)) for _ in range(4))  # two pixels of 12 bits in three bytes
    tags = [(256, 4, 2), (257, 4, 4), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 122), (277, 3, 1), (278, 4, 4)]
    tags.append((279, 4, len(rows)))
    directory = struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value) for tag, kind, value in tags
    )
    content = b"II*\0" + struct.pack("<I", 8) + directory + bytes(4)
    assert len(content) == 122
    assert colour(content + rows) == (255, 255, 255)


def test_32_bit_integers_and_floats_are_refused():
    for level in (-1, 257 * 90, 65536):
        with pytest.raises(Unusable, match=r"^(32-bit integers have no defined white|its samples are signed)"):
            read_image(encoded(Image.fromarray(np.full((3, 4), level, np.int32)), "TIFF"), LIMIT)
    with pytest.raises(Unusable, match=r"^floating-point pixels have no defined white"):
        read_image(encoded(Image.fromarray(np.full((3, 4), 0.5, np.float32)), "TIFF"), LIMIT)


def test_the_level_that_a_deep_png_declares_transparent_shows_the_background():
    deep = Image.fromarray(np.array([[1000, 65535]], np.uint16).repeat(4, 0))
    assert first_colour(encoded(deep, "PNG", transparency=1000)) == (255, 255, 255)
    assert first_colour(encoded(deep, "PNG", transparency=1001)) == (4, 4, 4)


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_the_colour_that_a_png_declares_transparent_shows_the_background(mode):
    key = (10, 20, 30) if mode == "RGB" else 0
    image = Image.new(mode, (4, 3), key)
    assert colour(encoded(image, "PNG", transparency=key), background=(0x11, 0x22, 0x33)) == (0x11, 0x22, 0x33)


def test_half_transparent_pixels_are_blended_with_the_background():
    content = encoded(Image.new("RGBA", (3, 2), (0, 0, 0, 128)), "PNG")
    assert near(colour(content, background=(0xFF, 0x80, 0x00)), (127, 64, 0), 1)
    assert near(colour(content), (127, 127, 127), 1)


def test_scaling_down_does_not_bleed_colour_from_transparent_pixels():
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 64, 31))
    pixels = pixels_of(encoded(image, "PNG"), max_side=16)
    assert (pixels[..., 0] <= pixels[..., 2]).all()  # blue to white, never red
