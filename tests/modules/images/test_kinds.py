"""Kinds of files that decoders read wrongly without a word: each has the right pixels, or is refused with its reason.

The rules are the table in docs/data.md. libvips is the second opinion on everything that both read.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib

import numpy as np
import pytest
import pyvips
import tensorflow as tf
from PIL import Image

from benchmarks.ingest.decoders import ours
from benchmarks.lib import libvips
from edgetune.modules.images import graph_read, tiff_pages
from edgetune.modules.images.reader import Unusable
from edgetune.modules.images.reading import Reading
from edgetune.pipeline.inspect.look import look
from tests.helpers.image_kinds import (
    ALPHA,
    GREY,
    HEIGHT,
    RGB,
    WIDTH,
    Kind,
    bmp,
    chunk,
    cut_jpeg,
    gif,
    gif_colors,
    over_white,
    photograph,
    png,
    saved,
    segments,
    three,
    tiff,
    without_adobe,
    without_scans,
)

GREY_16, RGB_16 = (part.astype("<u2") * 257 for part in (GREY, RGB))
DEFLATE = (259, 3, [8])
UNKNOWN_WHITE, PREVIEW, CUT = "white is unknown", "preview", "cut off|truncated"


def _bits(levels: np.ndarray, bits: int) -> bytes:
    unpacked = np.unpackbits(levels[..., np.newaxis].astype(np.uint8), axis=-1)[..., 8 - bits :]
    return np.packbits(unpacked.reshape(len(levels), -1), axis=1).tobytes()


def _twelve(levels: np.ndarray) -> bytes:
    pairs = levels.reshape(-1, 2).astype(np.uint16)
    first, second = pairs[:, 0], pairs[:, 1]
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 1).astype(np.uint8).tobytes()


def _with_bright_pixel(levels: np.ndarray) -> np.ndarray:
    changed = levels.copy()
    changed[3, 4] = 65535
    return changed


def _tiffs() -> dict[str, Kind]:
    rgb, small = three(GREY), RGB[::4, ::4]
    planes = [np.ascontiguousarray(RGB[..., channel]).tobytes() for channel in range(3)]
    planes_16 = [RGB_16[..., channel].tobytes() for channel in range(3)]
    packed = [zlib.compress(plane) for plane in planes]
    planar = (284, 3, [2])
    white = {bits: GREY >> 8 - bits for bits in (1, 2, 4, 8)}
    scaled = {
        bits: three((level.astype(int) * 255 // ((1 << bits) - 1)).astype(np.uint8)) for bits, level in white.items()
    }
    premultiplied = np.round(RGB * (ALPHA[..., np.newaxis] / 255)).astype(np.uint8)
    rgba = np.dstack([RGB, ALPHA])
    page = tiff([RGB.tobytes()], 8, 2, 3)
    preview = (254, 4, [1])
    ramp = np.linspace(0, 65535, 256).astype(int)
    colors = [*ramp, *ramp[::-1], *[7 * 257] * 256]
    raw = RGB.tobytes()
    ycbcr = np.asarray(Image.fromarray(RGB).convert("YCbCr")).tobytes()
    coarse = np.kron(RGB[::2, ::2], np.ones((2, 2, 1), np.uint8))
    parts = np.asarray(Image.fromarray(coarse).convert("YCbCr"))
    blocks = parts[..., 0].reshape(HEIGHT // 2, 2, WIDTH // 2, 2).transpose(0, 2, 1, 3).reshape(-1, 4)
    halved = np.hstack([blocks, parts[::2, ::2, 1:].reshape(-1, 2)]).tobytes()
    signed = (GREY.astype(int) - 128).astype(np.int8)
    reversed_bits = np.packbits(np.unpackbits(GREY[..., np.newaxis], axis=-1)[..., ::-1], axis=-1)[..., 0]
    kinds = {
        "planar 8": Kind(tiff(planes, 8, 2, 3, planar), RGB),
        "planar 8 deflate": Kind(tiff(packed, 8, 2, 3, planar, DEFLATE), RGB),
        "planar 16": Kind(tiff(planes_16, 16, 2, 3, planar), "planar"),
        "planar 16 deflate": Kind(tiff([zlib.compress(p) for p in planes_16], 16, 2, 3, planar, DEFLATE), "planar"),
        "planar rgba": Kind(tiff([*planes, ALPHA.tobytes()], 8, 2, 4, planar, (338, 3, [2])), over_white(RGB, ALPHA)),
        "planar premultiplied": Kind(tiff([*planes, ALPHA.tobytes()], 8, 2, 4, planar, (338, 3, [1])), "planar"),
        "planar cmyk": Kind(tiff([*planes, ALPHA.tobytes()], 8, 5, 4, planar), "planar"),
        "white is zero 16": Kind(tiff([(65535 - GREY_16).tobytes()], 16, 0), rgb),
        "white is zero 16 big": Kind(
            tiff([(65535 - GREY_16).astype(">u2").tobytes()], 16, 0, order=">"), "not supported"
        ),
        "white is zero 16 deflate": Kind(tiff([zlib.compress((65535 - GREY_16).tobytes())], 16, 0, 1, DEFLATE), rgb),
        "black is zero 16 big": Kind(tiff([GREY_16.astype(">u2").tobytes()], 16, 1, order=">"), rgb),
        "rgb 16": Kind(tiff([RGB_16.tobytes()], 16, 2, 3), RGB),
        "rgb 16 big deflate": Kind(
            tiff([zlib.compress(RGB_16.astype(">u2").tobytes())], 16, 2, 3, DEFLATE, order=">"), RGB
        ),
        "12 bits": Kind(tiff([_twelve(GREY.astype(int) * 4095 // 255)], 12, 1), rgb, by_libvips=None),
        "12 of 16 grey": Kind(tiff([(GREY_16 >> 4).tobytes()], 16, 1), UNKNOWN_WHITE),
        "14 of 16 grey": Kind(tiff([(GREY_16 >> 2).tobytes()], 16, 1), UNKNOWN_WHITE),
        "10 of 16 rgb": Kind(tiff([(RGB_16 >> 6).tobytes()], 16, 2, 3), UNKNOWN_WHITE),
        "8 of 16 rgb": Kind(tiff([(RGB_16 >> 8).tobytes()], 16, 2, 3), UNKNOWN_WHITE),
        "15 of 16, stated": Kind(tiff([(GREY_16 >> 1).tobytes()], 16, 1, 1, (281, 3, [32767])), "said to end"),
        "signed 8": Kind(tiff([signed.tobytes()], 8, 1, 1, (339, 3, [2])), "signed"),
        "signed 16": Kind(tiff([(signed.astype("<i2") * 256).tobytes()], 16, 1, 1, (339, 3, [2])), "signed"),
        "float 16": Kind(tiff([(GREY / 255).astype("<f2").tobytes()], 16, 1, 1, (339, 3, [3])), "floating-point"),
        "float 32": Kind(tiff([(GREY / 255).astype("<f4").tobytes()], 32, 1, 1, (339, 3, [3])), "floating-point"),
        "float 32 rgb": Kind(
            tiff([(RGB / 255).astype("<f4").tobytes()], 32, 2, 3, (339, 3, [3] * 3)), "floating-point"
        ),
        "unsigned 32": Kind(tiff([GREY.astype("<u4").tobytes()], 32, 1), "32-bit"),
        "preview first": Kind(tiff([small.tobytes()], 8, 2, 3, preview, size=(12, 8), following=page), PREVIEW),
        "preview and raw": Kind(tiff([small.tobytes()], 8, 2, 3, preview, (330, 4, [8]), size=(12, 8)), PREVIEW),
        "old kind of preview": Kind(
            tiff([small.tobytes()], 8, 2, 3, (255, 3, [2]), size=(12, 8), following=page), PREVIEW
        ),
        "dng": Kind(tiff([raw], 8, 2, 3, (50706, 1, [1, 4, 0, 0])), "DNG"),
        "larger page behind": Kind(tiff([small.tobytes()], 8, 2, 3, size=(12, 8), following=page), "2 pages"),
        "document": Kind(tiff([raw], 8, 2, 3, following=page), "2 pages"),
        "preview behind": Kind(
            tiff([raw], 8, 2, 3, following=tiff([small.tobytes()], 8, 2, 3, preview, size=(12, 8))), RGB
        ),
        "strips": Kind(
            tiff([raw[at : at + 8 * 3 * WIDTH] for at in range(0, len(raw), 8 * 3 * WIDTH)], 8, 2, 3, rows=8), RGB
        ),
        "cut": Kind(tiff([raw], 8, 2, 3)[:-600], CUT),
        "a strip too short": Kind(tiff([raw[:1000], raw[:2000]], 8, 2, 3, rows=16), CUT),
        "a strip missing": Kind(tiff([raw[: len(raw) // 2]], 8, 2, 3, rows=16), "lacks"),
        "deflate cut": Kind(tiff([zlib.compress(raw)], 8, 2, 3, DEFLATE)[:-300], CUT),
        "deflate too short": Kind(tiff([zlib.compress(raw[:1500])], 8, 2, 3, DEFLATE), "damaged"),
        "14 of 16, stated": Kind(tiff([(GREY_16 >> 2).tobytes()], 16, 1, 1, (281, 3, [16000])), "said to end"),
        "7 of 8, stated": Kind(tiff([(GREY >> 1).tobytes()], 8, 1, 1, (281, 3, [120])), "said to end"),
        "highest value, stated": Kind(tiff([GREY.tobytes()], 8, 1, 1, (281, 3, [235])), rgb),
        "12 of 16 and a bright pixel": Kind(tiff([_with_bright_pixel(GREY_16 >> 4).tobytes()], 16, 1), UNKNOWN_WHITE),
        "12 of 16 rgb and a bright pixel": Kind(
            tiff([_with_bright_pixel(RGB_16 >> 4).tobytes()], 16, 2, 3), UNKNOWN_WHITE
        ),
        "alpha 0": Kind(tiff([np.dstack([RGB, ALPHA * 0]).tobytes()], 8, 2, 4, (338, 3, [2])), "fully transparent"),
        "rgba": Kind(tiff([rgba.tobytes()], 8, 2, 4, (338, 3, [2])), over_white(RGB, ALPHA)),
        "premultiplied": Kind(
            tiff([np.dstack([premultiplied, ALPHA]).tobytes()], 8, 2, 4, (338, 3, [1])),
            over_white(RGB, ALPHA),
            within=2,
            by_libvips=None,
        ),
        "fourth channel unused": Kind(tiff([rgba.tobytes()], 8, 2, 4, (338, 3, [0])), RGB, by_libvips=None),
        "fourth channel unknown": Kind(tiff([rgba.tobytes()], 8, 2, 4), "ExtraSamples"),
        "palette 8": Kind(tiff([GREY.tobytes()], 8, 3, 1, (320, 3, colors)), gif_colors(GREY)),
        "palette of 8-bit values": Kind(tiff([GREY.tobytes()], 8, 3, 1, (320, 3, [c >> 8 for c in colors])), "palette"),
        "fill order": Kind(tiff([reversed_bits.tobytes()], 8, 1, 1, (266, 3, [2])), rgb, by_libvips=None),
        "cmyk": Kind(tiff([np.dstack([255 - RGB, GREY * 0]).tobytes()], 8, 5, 4), RGB, by_libvips=None),
        "other inks": Kind(tiff([np.dstack([RGB, GREY]).tobytes()], 8, 5, 4, (332, 3, [2])), "inks"),
        "ycbcr plain": Kind(tiff([np.asarray(Image.fromarray(RGB).convert("YCbCr")).tobytes()], 8, 6, 3), "YCbCr"),
        "ycbcr deflate": Kind(tiff([zlib.compress(ycbcr)], 8, 6, 3, DEFLATE, (530, 3, [1, 1])), RGB, 3, None),
        "ycbcr deflate 2x2": Kind(tiff([zlib.compress(halved)], 8, 6, 3, DEFLATE, (530, 3, [2, 2])), coarse, 3, 3),
        "lab of Pillow": Kind(
            tiff([np.full((HEIGHT, WIDTH, 3), (138, 0, 0), np.uint8).tobytes()], 8, 8, 3),
            np.full((HEIGHT, WIDTH, 3), 128, np.uint8),
            within=2,
            by_libvips=None,
        ),
    }
    for bits, level in white.items():
        for photometric, levels in ((1, level), (0, (1 << bits) - 1 - level)):
            name = f"{'black' if photometric else 'white'} is zero {bits}"
            kinds[name] = Kind(tiff([_bits(levels, bits)], bits, photometric), scaled[bits])
    return kinds


def _pngs() -> dict[str, Kind]:
    kinds = {}
    for depth in (1, 2, 4, 8, 16):
        most = (1 << depth) - 1
        levels = GREY.astype(int) * most // 255
        key = int(levels[3, 5])
        right = np.round(levels * 255 / most).astype(np.uint8)
        right[levels == key] = 255
        kinds[f"key grey {depth}"] = Kind(
            png(levels[..., np.newaxis], depth, 0, (b"tRNS", struct.pack(">H", key))), three(right)
        )
    for depth, colors in ((8, RGB), (16, RGB.astype(int) * 257)):
        key = colors[9, 11]
        right = RGB.copy()
        right[9, 11] = 255
        kinds[f"key rgb {depth}"] = Kind(png(colors, depth, 2, (b"tRNS", struct.pack(">3H", *key))), right)
        other = [*key[:2], key[2] - 1]
        kinds[f"no key rgb {depth}"] = Kind(png(colors, depth, 2, (b"tRNS", struct.pack(">3H", *other))), RGB)

    def with_chunks(*chunks):
        return png(RGB, 8, 2, *chunks)

    ramp = bytes(value for level in range(256) for value in (level, level, level))
    whole, packed = png(RGB, 8, 2), zlib.compress(b"".join(b"\0" + row.tobytes() for row in RGB))

    def png_of(data: bytes) -> bytes:
        at = whole.index(b"IDAT") - 4
        return whole[:at] + chunk(b"IDAT", data) + chunk(b"IEND", b"")

    def wrong(name: str) -> bytes:
        content = bytearray(png(RGB, 8, 2, (b"tEXt", b"Comment\0none")))
        at = content.index(name.encode())
        content[at + 4 + struct.unpack_from(">I", content, at - 4)[0]] ^= 1
        return bytes(content)

    gamma = {
        name: (b"gAMA", struct.pack(">I", value)) for name, value in (("2.2", 45455), ("1.0", 100000), ("1.8", 55556))
    }
    primaries = (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    wide = (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
    other = "other colors"
    kinds |= {
        "gamma of srgb": Kind(with_chunks(gamma["2.2"], primaries), RGB),
        "gamma 1": Kind(with_chunks(gamma["1.0"]), other, by_libvips=None),
        "gamma 1.8, 16 bits": Kind(png(RGB.astype(int) * 257, 16, 2, gamma["1.8"]), other),
        "gamma 1 but srgb": Kind(with_chunks(gamma["1.0"], (b"sRGB", b"\0")), RGB),
        "primaries of P3": Kind(with_chunks(wide), other),
        "cicp of srgb": Kind(with_chunks((b"cICP", bytes((1, 13, 0, 1)))), RGB),
        "cicp of P3": Kind(with_chunks((b"cICP", bytes((12, 13, 0, 1)))), other),
        "cicp of PQ": Kind(with_chunks((b"cICP", bytes((9, 16, 0, 1))), (b"sRGB", b"\0")), other),
        "12 of 16 grey": Kind(png(GREY[..., np.newaxis].astype(int) * 16, 16, 0), UNKNOWN_WHITE),
        "12 of 16 rgb, sBIT": Kind(png(RGB.astype(int) * 16, 16, 2, (b"sBIT", b"\x0c\x0c\x0c")), UNKNOWN_WHITE),
        "12 of 16 grey and a bright pixel": Kind(
            png(_with_bright_pixel(GREY.astype(int) * 16)[..., np.newaxis], 16, 0), UNKNOWN_WHITE
        ),
        "alpha 0": Kind(png(np.dstack([RGB, GREY * 0]), 8, 6), "fully transparent"),
        "alpha 0, 16 bits": Kind(png(np.dstack([RGB, GREY * 0]).astype(int) * 257, 16, 6), "fully transparent"),
        "no palette": Kind(png(GREY[..., np.newaxis], 8, 3), "no palette"),
        "palette": Kind(png(GREY[..., np.newaxis], 8, 3, (b"PLTE", ramp)), three(GREY)),
        "of Apple": Kind(whole[:8] + chunk(b"CgBI", bytes(4)) + whole[8:], "CgBI"),
        "wrong checksum of the pixels": Kind(png_of(packed[:-1] + bytes([packed[-1] ^ 1])), "checksum"),
        "wrong checksum of IDAT": Kind(wrong("IDAT"), "checksum of its chunk IDAT"),
        "wrong checksum of tEXt": Kind(wrong("tEXt"), "checksum of its chunk tEXt"),
        "16 with sBIT": Kind(png(RGB.astype(int) * 257 & 0xFFF0, 16, 2, (b"sBIT", b"\x0c\x0c\x0c")), RGB),
        "16 all black": Kind(png(RGB.astype(int) * 0, 16, 2), RGB * 0),
        "rows missing": Kind(png(RGB, 8, 2, rows=20), CUT),
        "no end": Kind(png(RGB, 8, 2)[:-12], RGB, by_libvips=None),
        "half": Kind(png(RGB, 8, 2)[:600], "damaged"),
    }
    return kinds


def _jpegs() -> dict[str, Kind]:
    whole = photograph()
    kinds = {}
    for name, image, options in (
        ("baseline", whole, {}),
        ("420", whole, {"subsampling": 2}),
        ("grey", whole.convert("L"), {}),
        ("restarts", whole, {"restart_marker_rows": 1}),
        ("progressive", whole, {"progressive": True}),
        ("grey progressive", whole.convert("L"), {"progressive": True}),
    ):
        content = saved(image, "JPEG", quality=90, **options)
        kinds[name] = Kind(content, np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
        for share in (0.5, 0.75, 0.93):
            kinds[f"{name} cut at {share}"] = Kind(cut_jpeg(content, share), CUT)
    progressive = saved(whole, "JPEG", quality=90, progressive=True)
    for kept in (1, 4, 9):
        kinds[f"progressive, {kept} of 10 scans"] = Kind(without_scans(progressive, kept), CUT)
    plain = saved(Image.new("RGB", (64, 64), (128, 128, 128)), "JPEG", quality=90)
    kinds["all grey of 128"] = Kind(plain, np.full((64, 64, 3), 128, np.uint8))
    kinds["an image behind the end"] = Kind(kinds["baseline"].content * 2, kinds["baseline"].right)
    kinds |= _holed_jpegs()
    turned = saved(whole, "JPEG", quality=95)
    for kind, value in ((1, b"\6\0\0\0"), (3, b"\0\6\0\0"), (4, b"\0\0\0\6")):
        exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHI", 8, 1, 0x0112, kind, 1) + value + bytes(4)
        content = turned[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + turned[2:]
        right = np.rot90(np.asarray(Image.open(io.BytesIO(turned)).convert("RGB")), -1)
        kinds[f"turned by type {kind}"] = Kind(content, right, by_libvips=1 if kind == 3 else None)
    cmyk = saved(whole.convert("CMYK"), "JPEG", quality=95)
    right = np.asarray(Image.open(io.BytesIO(cmyk)).convert("RGB"))
    kinds["cmyk of Adobe"] = Kind(cmyk, right, within=3, by_libvips=None)
    kinds["cmyk, plain"] = Kind(without_adobe(cmyk), "inverted")
    kinds["cmyk cut"] = Kind(cut_jpeg(cmyk, 0.6), CUT)
    return kinds


def _holed_jpegs() -> dict[str, Kind]:
    """Return JPEGs that lack a part in the middle."""
    large = photograph().resize((320, 240))
    image = np.asarray(large) // 2 + np.random.default_rng(3).integers(0, 40, (240, 320, 3), dtype=np.uint8)
    options: dict[str, dict[str, object]] = {
        "plain": {},
        "restarts": {"restart_marker_blocks": 10},
        "progressive": {"progressive": True},
    }
    files = {name: saved(Image.fromarray(image), "JPEG", quality=85, **of) for name, of in options.items()}
    whole = {
        f"large {name}": Kind(content, np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
        for name, content in files.items()
    }
    plain, restarts, progressive = files.values()
    third = len(plain) // 3
    places = [at for at in range(len(restarts) - 1) if restarts[at] == 0xFF and 0xD0 <= restarts[at + 1] <= 0xD7]
    middle = (places[5] + places[6]) // 2
    scans = [at for marker, at in segments(progressive) if marker == 0xDA] + [len(progressive) - 2]
    cut = {
        "512 bytes lost": plain[:third] + plain[third + 512 :],
        "4096 bytes overwritten": plain[:third] + restarts[1000 : 1000 + 4096] + plain[third + 4096 :],
        "4096 bytes zeroed": plain[:third] + bytes(4096) + plain[third + 4096 :],
        "text behind": plain[: len(plain) // 2] + b"HTTP error " * 1000,
        "zeros behind": plain[: len(plain) // 2] + bytes(len(plain) // 2) + b"\xff\xd9",
        "a segment lost": restarts[: places[5]] + restarts[places[6] :],
        "8 segments lost": restarts[: places[8]] + restarts[places[16] :],
        "12 segments emptied": restarts[: places[8]]
        + b"".join(restarts[at : at + 2] for at in places[8:20])
        + restarts[places[20] :],
        "200 bytes overwritten in a segment": restarts[:middle] + plain[third : third + 200] + restarts[middle + 200 :],
        "no restarts": b"".join(
            restarts[a:b] for a, b in zip([0, *[p + 2 for p in places]], [*places, None], strict=True)
        ),
    }
    for number in (0, 1, 4, 5):
        tables = progressive.rfind(b"\xff\xc4", scans[number], scans[number + 1])
        stop = tables if tables > 0 else scans[number + 1]
        cut[f"half of scan {number} lost"] = progressive[: scans[number] + 30] + progressive[stop:]
    return whole | {name: Kind(content, CUT) for name, content in cut.items()}


def _hole(content: bytes) -> bytes:
    middle = len(content) * 2 // 3
    return content[:middle] + bytes(100) + content[middle + 100 :]


def _others() -> dict[str, Kind]:
    alpha_0 = np.dstack([RGB[..., ::-1], GREY * 0])
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    five = RGB.astype(np.uint16) >> 3
    bits_555 = (five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]).astype("<u2").tobytes()
    grey = bytes(value for level in range(256) for value in (level, level, level, 0))
    rows = b"".join(b"".join(bytes((1, level)) for level in row) + b"\0\0" for row in GREY[::-1])
    four = b"".join(bytes((WIDTH, row % 16 * 17)) + b"\0\0" for row in range(HEIGHT))
    part = np.arange(16 * 20, dtype=np.uint8).reshape(16, 20)
    canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    canvas[8:24, 10:30] = gif_colors(part)
    seen = canvas.copy()
    seen[8:24, 10:30][part == 9] = 255
    frame = np.dstack([RGB, ALPHA])
    blue = Image.new("RGBA", (WIDTH, HEIGHT), "blue")
    animated = saved(Image.fromarray(frame), "WEBP", lossless=True, exact=True, save_all=True, append_images=[blue])
    apng = saved(Image.fromarray(RGB), "PNG", save_all=True, append_images=[blue.convert("RGB")])
    webp = saved(Image.fromarray(RGB), "WEBP", lossless=True)
    plain_gif = saved(Image.fromarray(GREY), "GIF")
    avif = saved(photograph(), "AVIF")
    at = avif.index(b"colrnclx") + 8
    wide = avif[:at] + struct.pack(">HH", 12, 13) + avif[at + 4 :]
    noise = np.random.default_rng(7).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    lossy, large_avif = (saved(Image.fromarray(noise), kind, quality=90) for kind in ("WEBP", "AVIF"))
    large_webp = saved(Image.fromarray(noise), "WEBP", lossless=True)
    flat = saved(Image.new("RGB", (800, 800), "white"), "WEBP")
    first = Image.new("RGBA", (WIDTH, HEIGHT))
    first.paste(Image.fromarray(RGB[:12, :16]), (20, 10))
    small_first = saved(
        first, "WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(RGB).convert("RGBA")]
    )
    small_first = small_first[:20] + bytes([small_first[20] & ~0x10]) + small_first[21:]
    placed = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    placed[10:22, 20:36] = RGB[:12, :16]
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "bmp, alpha 0": Kind(bmp(alpha_0.tobytes(), 32, 3, masks), RGB, by_libvips=None),
        "bmp, alpha": Kind(
            bmp(np.dstack([RGB[..., ::-1], ALPHA]).tobytes(), 32, 3, masks), over_white(RGB, ALPHA), by_libvips=None
        ),
        "bmp, 32 bits": Kind(bmp(alpha_0.tobytes(), 32, 0), RGB, by_libvips=None),
        "bmp, 16 bits": Kind(bmp(bits_555, 16, 0), (five * 255 // 31).astype(np.uint8), by_libvips=None),
        "bmp, rle 8": Kind(bmp(rows + b"\0\1", 8, 1, palette=grey, down=False), three(GREY), by_libvips=None),
        "bmp, rle 4": Kind(bmp(four + b"\0\1", 4, 2, palette=grey[:64], down=False), "RLE", by_libvips=None),
        "bmp, rle cut": Kind(bmp(rows[: len(rows) // 2], 8, 1, palette=grey, down=False), "damaged", by_libvips=None),
        "bmp, cut": Kind(bmp(alpha_0.tobytes()[:4000], 32, 0), "damaged", by_libvips=None),
        "gif, small frame": Kind(gif(part, 10, 8), canvas, by_libvips=None),  # which shows black there
        "gif, small frame, transparent": Kind(gif(part, 10, 8, transparent=9), seen),
        "gif, cut": Kind(plain_gif[: len(plain_gif) // 2], "damaged"),
        "webp, animated": Kind(animated, over_white(RGB, ALPHA)),
        "webp, turned": Kind(saved(Image.fromarray(RGB), "WEBP", lossless=True, exif=turned), np.rot90(RGB, -1)),
        "webp, cut": Kind(webp[: len(webp) * 2 // 3], "damaged"),
        "png, animated": Kind(apng, RGB),
        "avif, P3": Kind(wide, "primaries 12"),
        "webp, alpha 0": Kind(
            saved(Image.fromarray(np.dstack([RGB, GREY * 0])), "WEBP", lossless=True, exact=True), "fully transparent"
        ),
        "avif, alpha 0": Kind(saved(Image.fromarray(np.dstack([RGB, GREY * 0])), "AVIF"), "fully transparent"),
        "webp, small first frame": Kind(small_first, placed, by_libvips=None),  # which shows black there
        "webp, lossy": Kind(lossy, np.asarray(Image.open(io.BytesIO(lossy)).convert("RGB")), by_libvips=None),
        "webp, flat": Kind(flat, np.full((800, 800, 3), 255, np.uint8), 2),
        **{
            f"{name}, the end is zeros": Kind(content[: len(content) * 3 // 5] + bytes(len(content) * 2 // 5), "zeros")
            for name, content in (("webp", lossy), ("webp lossless", large_webp), ("avif", large_avif))
        },
        "avif, a hole": Kind(_hole(large_avif), "zeros"),
        "avif, cut": Kind(avif[: len(avif) * 2 // 3], ""),
    }


WRITTEN: dict[str, dict[str, object]] = {
    "tiles": {"tile": True, "tile_width": 16, "tile_height": 16},
    "tiles, deflate, predictor": {"tile": True, "compression": "deflate", "predictor": "horizontal"},
    "lzw, predictor": {"compression": "lzw", "predictor": "horizontal"},
    "packbits": {"compression": "packbits"},
    "big": {"bigtiff": True},
    "pyramid of pages": {"tile": True, "tile_width": 16, "tile_height": 16, "pyramid": True},
    "pyramid below": {"tile": True, "tile_width": 16, "tile_height": 16, "pyramid": True, "subifd": True},
    "jpeg": {"compression": "jpeg", "Q": 90},
}


def written(name: str, pixels: np.ndarray, **options: object) -> bytes:
    """Return a TIFF that libtiff writes."""
    return pyvips.Image.new_from_array(pixels).tiffsave_buffer(**WRITTEN.get(name, {}), **options)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("deep", [False, True])
def test_tiffs_of_libtiff_are_read_as_libvips_reads_them(name, channels, deep):
    if name == "jpeg" and (deep or channels == 4):
        return
    pixels = np.dstack([RGB, ALPHA])[..., :channels] if channels > 1 else GREY
    content = written(name, pixels.astype(np.uint16) * 257 if deep else pixels)
    assert off(ours(content), libvips.read(content)) <= (2 if name == "jpeg" else 1)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize(
    "options", [{}, {"miniswhite": True}, {"compression": "ccittfax4"}, {"compression": "deflate", "predictor": "none"}]
)
def test_few_bits_are_read_as_libvips_reads_them(bits, options):
    if "compression" in options and bits > 1 and options["compression"] == "ccittfax4":
        return
    content = written("", GREY, bitdepth=bits, **options)
    assert off(ours(content), libvips.read(content)) <= 1


@functools.cache
def kinds() -> dict[str, Kind]:
    """Return all files by name."""
    groups = {"tiff": _tiffs(), "png": _pngs(), "jpeg": _jpegs(), "": _others()}
    return {f"{group} {name}".strip(): kind for group, found in groups.items() for name, kind in found.items()}


def off(left: np.ndarray, right: np.ndarray) -> int:
    """Return the largest difference of a level; 255 for other sizes."""
    return 255 if left.shape != right.shape else int(np.abs(left.astype(int) - right).max())


@pytest.mark.parametrize("name", kinds())
def test_a_kind_is_read_right_or_refused(name):
    kind = kinds()[name]
    if isinstance(kind.right, str):
        with pytest.raises(Unusable, match=kind.right):
            ours(kind.content)
        return
    assert off(ours(kind.content), kind.right) <= kind.within
    if kind.by_libvips is not None:
        assert off(ours(kind.content), libvips.read(kind.content)) <= kind.by_libvips


# The graph does not look where the parts between restarts end, and libpng passes over wrong checksums.
ONLY_AT_INGEST = (
    "jpeg 200 bytes overwritten in a segment",
    "png wrong checksum of IDAT",
    "png wrong checksum of tEXt",
)


@pytest.mark.parametrize("name", [name for name in kinds() if name.split()[0].strip(",") in ("png", "jpeg")])
def test_the_served_graph_agrees_or_refuses(name):
    kind = kinds()[name]
    try:
        fault, pixels = graph_read.read_by_graph(tf.constant(kind.content), Reading())
    except tf.errors.InvalidArgumentError:
        return
    if not fault.numpy():
        if name in ONLY_AT_INGEST:
            return
        assert not isinstance(kind.right, str)
        assert off(pixels.numpy(), kind.right) <= kind.within


@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 1}, {"optimize": True}, {"subsampling": 2}])
@pytest.mark.parametrize("color", ["white", "black", (128, 128, 128), "sky"])
def test_whole_jpegs_without_detail_are_accepted(color, options):
    sky = np.full((60, 90, 3), 255, np.uint8)
    sky[:20] = np.random.default_rng(1).integers(0, 255, (20, 90, 3), dtype=np.uint8)
    image = Image.fromarray(sky) if color == "sky" else Image.new("RGB", (90, 60), color)
    for quality, side in ((50, None), (100, 20)):
        content = saved(image, "JPEG", quality=quality, **options)
        assert not graph_read.attempt(content, Reading(max_side=side))[0]


@pytest.mark.parametrize(
    "options", [{"compression": "jpeg"}, {"compression": "jpeg", "tile": True}, {"compression": "ccittfax4"}]
)
def test_compressed_strips_that_lack_a_part_are_refused(options):
    noise = np.random.default_rng(8).integers(0, 255, (128, 256, 3), dtype=np.uint8)
    is_fax = options["compression"] == "ccittfax4"
    pixels = (noise[..., 0] > 250).astype(np.uint8) * 255 if is_fax else noise // 4 + 90
    content = written("", pixels, **options, **({"bitdepth": 1} if is_fax else {}))
    assert off(ours(content), libvips.read(content)) <= 2
    page = tiff_pages.pages(content)[0]
    start, length = page.get(273, page.get(324))[0], page.get(279, page.get(325))[0]
    middle = start + length // 2
    lacking = content[:middle] + bytes(start + length - middle) + content[start + length :]
    with pytest.raises(Unusable, match="cut off|damaged"):
        ours(lacking)


# Of 16 bits a channel, Pillow keeps 8: it does not tell black from values that all are below 256.
INSPECT_REJECTS = ("png 16 all black",)


def test_inspect_accepts_what_ingest_accepts():
    def by(read, content):
        try:
            read(content)
        except Unusable:
            return False
        return True

    other = {
        name
        for name, kind in kinds().items()
        if by(lambda content: look(content, Reading()), kind.content) == isinstance(kind.right, str)
    }
    assert other == set(INSPECT_REJECTS)
