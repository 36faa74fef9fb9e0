"""Small image files that are damaged, far too large, unusual, or no image at all, as datasets have them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.helpers import photographs

_ORIENTATION = 0x0112
_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"><tiff:Orientation>6</tiff:Orientation>'
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)


def refused() -> dict[str, tuple[bytes, str]]:
    """Return files that the reader refuses, each with the beginning of the reason, by name."""
    scene = photographs.scene(1, 128, 96)
    png, jpeg = _file(scene, "PNG"), photographs.encoded(scene)
    middle = png.index(b"IDAT") + 1000
    return {
        "float.tiff": (_file(Image.fromarray(np.eye(9, dtype=np.float32)), "TIFF"), "floating-point pixels"),
        "README.md": (b"# Image files\n\n|file|bytes|\n|-|-|\n", "not an image"),
        "broken_stream.png": (png[:middle] + bytes(40) + png[middle + 40 :], "damaged"),
        "pointer.jpg": (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5",
            "a Git LFS pointer, not the image itself: run `git lfs pull`",
        ),
        "bomb.gif": (_gif_of_size(65535, 65535), "more pixels"),
        "empty.heic": (b"", "the file is empty"),
        "text_bomb.png": (_png_with_text(3_000_000), "damaged"),
        "lossless.jp2": (_file(scene, "JPEG2000"), "JPEG 2000, which is not supported: save it as JPEG or PNG"),
        "bomb.bmp": (_bmp_of_size(3_000_000, 2_000_000), "more pixels"),
        "cut_off.jpg": (jpeg[: len(jpeg) // 2], "damaged"),
    }


def accepted() -> dict[str, tuple[bytes, tuple[int, int]]]:
    """Return unusual files that the reader takes, each with width and height of the upright image, by name."""
    scene = photographs.scene(2, 96, 64)
    grey = np.asarray(scene.convert("L"), np.uint16) * 200
    turned = Image.Exif()
    turned[_ORIENTATION] = 8
    alpha = bytes(range(256))
    jpeg = photographs.encoded(scene)
    return {
        "cmyk.jpg": (_file(scene.convert("CMYK"), "JPEG"), (96, 64)),
        "photoshop_blocks.jpg": (_with_segments(jpeg, *[b"\xff\xed" + _sized(b"Photoshop 3.0\0" * 9)] * 3), (96, 64)),
        "junk_in_header.jpg": (_with_segments(jpeg, b"\xff\x00" * 7), (96, 64)),
        "broken_exif.jpg": (_with_segments(jpeg, b"\xff\xe1" + _sized(b"Exif\0\0II*\0\xff\xff\xff\x7f")), (96, 64)),
        "tiny_turned.jpg": (_file(scene.crop((0, 0, 2, 1)), "JPEG", exif=turned), (1, 2)),
        "turned.jpg": (_file(scene, "JPEG", exif=turned), (64, 96)),
        "turned_by_xmp.png": (_file(scene.convert("RGBA"), "PNG", pnginfo=_xmp()), (64, 96)),
        "stored.png": (_file(scene.convert("L"), "PNG", compress_level=0), (96, 64)),
        "grey_16_bits_one_transparent.png": (_file(Image.fromarray(grey), "PNG", transparency=300), (96, 64)),
        "palette_with_alpha.png": (_file(scene.quantize(256), "PNG", transparency=alpha), (96, 64)),
        "run_lengths.bmp": (_bmp_of_runs(96, 64), (96, 64)),
        "not_found.gif": (_file(scene.quantize(8), "GIF"), (96, 64)),
    }


def heic(image: Image.Image) -> bytes:
    """Encode as a phone of Apple does."""
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=60)
    return buffer.getvalue()


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _xmp() -> object:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", _XMP.decode())
    return info


def _sized(body: bytes) -> bytes:
    return struct.pack(">H", len(body) + 2) + body


def _with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """Put segments behind the first of a JPEG, which is JFIF's."""
    (length,) = struct.unpack_from(">H", jpeg, 4)
    return jpeg[: 4 + length] + b"".join(segments) + jpeg[4 + length :]


def _gif_of_size(width: int, height: int) -> bytes:
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\x80\0\0" + b"\0\0\0\xff\xff\xff" + b",\0\0\0\0" + size + b"\0\x02\x02D\x01\0;"


def _bmp_of_size(width: int, height: int) -> bytes:
    content = bytearray(_file(Image.new("RGB", (90, 90)), "BMP"))
    struct.pack_into("<ii", content, 18, width, height)
    return bytes(content)


def _bmp_of_runs(width: int, height: int) -> bytes:
    """Pillow reads the run lengths of a BMP, and does not write them."""
    palette = b"".join(struct.pack("<BBBB", level, 255 - level, level // 2, 0) for level in range(256))
    body = b"".join(bytes([width // 2, row, width - width // 2, 255 - row, 0, 0]) for row in range(height)) + b"\0\x01"
    start = 14 + 40 + len(palette)
    return (
        b"BM"
        + struct.pack("<IHHI", start + len(body), 0, 0, start)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 2835, 2835, 256, 0)
        + palette
        + body
    )


def _png_with_text(length: int) -> bytes:
    """Return a PNG of one pixel whose comment unpacks to that many bytes."""
    png = _file(Image.new("RGB", (1, 1)), "PNG")
    text = b"Comment\0\0" + zlib.compress(b"a" * length)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    return png[:33] + chunk + png[33:]
