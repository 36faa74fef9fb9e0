"""How a photograph is turned, against Pillow, and where that is read."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from edgetune.modules.images.graph_orientation import orientation, turn

XMP = '<rdf:Description tiff:Orientation="3"/>'


def exif(value: int, order: str = "<") -> bytes:
    """Return a TIFF header with one directory of one entry, the orientation."""
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, value, 0, 0)


def stated(of_exif: bytes = b"", xmp: str = "") -> int:
    return int(orientation(tf.constant(of_exif), tf.constant(xmp)))


@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation_is_turned_as_pillow_does(value):
    pixels = np.random.default_rng(1).integers(0, 256, (4, 5, 3), np.uint8)
    made, buffer = Image.Exif(), io.BytesIO()
    made[0x0112] = value
    Image.fromarray(pixels).save(buffer, "PNG", exif=made)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    np.testing.assert_array_equal(turn(tf.constant(pixels), tf.constant(value)), expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_orientation_is_read_in_either_byte_order(order):
    assert [stated(exif(value, order)) for value in range(1, 9)] == list(range(1, 9))


def test_an_orientation_that_does_not_exist_is_upright():
    assert [stated(exif(value)) for value in (0, 9, 300)] == [1, 1, 1] and stated() == 1


def test_xmp_counts_only_if_exif_names_no_orientation():
    assert stated(xmp=XMP) == 3
    assert stated(exif(6), XMP) == 6
    assert stated(exif(6).replace(b"\x12\x01", b"\x13\x01"), XMP) == 3  # another tag
