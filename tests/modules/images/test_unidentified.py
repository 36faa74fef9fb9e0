"""Files of which no decoder finds the header: an image that is damaged there is not called something else."""

from __future__ import annotations

import io
from contextlib import nullcontext

import pytest
from PIL import Image

from edgetune.modules.images import pillow_read
from edgetune.modules.images.pillow_read import NO_IMAGE, Unusable
from edgetune.modules.images.reading import Reading


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 8), (200, 30, 30)).save(buffer, kind)
    return buffer.getvalue()


def reason(content: bytes) -> str:
    with pytest.raises(Unusable) as caught:
        pillow_read.pixels(content, Reading(), lambda _: nullcontext())
    return str(caught.value)


def test_a_png_with_one_bad_checksum_is_damaged():
    content = bytearray(encoded("PNG"))
    content[29] ^= 1  # of the header
    assert reason(bytes(content)) == "damaged: the checksum of its chunk IHDR is wrong"


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0 no", b"RIFF\x04\0\0\0WEBP", b"II*\0\xff\xff\xff\xff"])
def test_what_begins_as_an_image_is_damaged(content):
    assert reason(content).startswith("damaged: ")


@pytest.mark.parametrize("content", [b"text", b"RIFF\x04\0\0\0WAVE", b"\0" * 40])
def test_anything_else_is_not_an_image(content):
    assert reason(content).startswith(NO_IMAGE)
