"""The first look at a file agrees with ingest, and decodes nothing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from edgetune.modules.images.facts import Facts, facts
from edgetune.modules.images.reading import Reading
from tests.helpers.image_kinds import HEIGHT, RGB, WIDTH, photograph, saved, tiff

READING = Reading(100_000)


def test_the_first_look_does_not_wait_for_tensorflow():
    program = "import sys, edgetune.modules.images.facts; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"])
def test_format_and_size_of_every_format(kind):
    assert facts(saved(photograph(), kind), READING) == Facts(kind, 96, 64)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_size_is_that_of_the_upright_image(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(photograph(), kind, exif=exif)
    size = (64, 96) if orientation == 6 else (96, 64)
    assert facts(content, READING) == Facts(kind, *size, orientation)


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"", "the file is empty"),
        (b"notes", "not an image of a known format"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
        (saved(Image.new("L", (400, 400)), "PNG"), "400 x 400 pixels are more than data.max_pixels"),
        (saved(photograph(), "WEBP")[:-9], "damaged: cut off"),
        (tiff([RGB.tobytes()], 8, 2, 3, (254, 4, [1])), "a TIFF whose first page is a preview"),
        (tiff([np.zeros((HEIGHT, WIDTH), "<f4").tobytes()], 32, 1, 1, (339, 3, [3])), "floating-point pixels"),
    ],
)
def test_what_the_header_shows_is_refused_with_the_reason_of_ingest(content, refusal):
    assert facts(content, READING).refusal.startswith(refusal)
