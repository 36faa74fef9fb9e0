"""Name what is neither a JPEG nor a PNG, inside a TensorFlow graph."""

from __future__ import annotations

import tensorflow as tf

from edgetune.modules.images import graph_bytes

_SEND = "send JPEG or PNG"
_HEAD = 512
# Beginnings of files as regular expressions over bytes. The first one that matches counts.
_KINDS = (
    (r"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)", "is a HEIC image"),
    (r"....ftypavi[fs]", "is an AVIF image"),
    (r"....ftyp", "is a video"),
    (r"RIFF....WEBP", "is a WebP image"),
    (r"GIF8", "is a GIF image"),
    (r"BM", "is a BMP image"),
    (r"II\*\x00|MM\x00\*", "is a TIFF image"),
    (r"\x00\x00\x00\x0cJXL |\xff\x0a", "is a JPEG XL image"),
    (r"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "is a JPEG 2000 image"),
    (r"8BPS", "is a Photoshop document"),
    (r"%PDF", "is a PDF document"),
    (r"PK\x03\x04", "is a zip archive"),
    (r"(\xef\xbb\xbf)?[ \t\r\n]*<(!doctype html|html|!DOCTYPE|HTML)", "is a web page"),
    (r"(\xef\xbb\xbf)?[ \t\r\n]*<(svg|\?xml)", "is a drawing (SVG)"),
    (r"version https://git-lfs", "is a Git LFS pointer, not the image itself"),
)


def fault(content: tf.Tensor) -> tf.Tensor:
    """Return why a string scalar that is neither a JPEG nor a PNG is refused, as the end of a sentence: string."""
    # Bytes as letters of Latin-1, which regular expressions can match.
    head = tf.strings.unicode_transcode(tf.strings.substr(content, 0, _HEAD), "ISO-8859-1", "UTF-8")
    return graph_bytes.reason(
        (tf.strings.length(content) == 0, f"is empty: {_SEND}"),
        *((tf.strings.regex_full_match(head, f"(?s)({start}).*"), f"{name}: {_SEND}") for start, name in _KINDS),
        (tf.constant(True), f"is not an image that can be read: {_SEND}"),
    )
