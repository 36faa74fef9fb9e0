"""Pixel packing is lossless and makes photographs compress well."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.examples.pixel_packing import pack, unpack
from edgetune.modules.images.decode import decode
from tests.helpers import photographs


@pytest.mark.parametrize("size", [1, 2, 16, 17, 24, 32, 96, 97, 224])
def test_packing_is_lossless(size):
    pixels = np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)
    packed = pack(pixels.tobytes())
    assert len(packed) == pixels.size
    np.testing.assert_array_equal(unpack(tf.constant(packed), size), pixels)


def test_extreme_values_survive_the_differences():
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[::2, :, 0], pixels[1::2, :, 1], pixels[:, ::3, 2] = 255, 255, 255
    np.testing.assert_array_equal(unpack(tf.constant(pack(pixels.tobytes())), 16), pixels)


def test_another_size_is_an_error():
    packed = pack(np.zeros((32, 32, 3), np.uint8).tobytes())
    for size in (16, 31, 64):
        with pytest.raises(tf.errors.InvalidArgumentError):
            unpack(tf.constant(packed), size)


def compressed_size(content: bytes, level: int, strategy: int) -> int:
    packer = zlib.compressobj(level, zlib.DEFLATED, strategy=strategy)
    return len(packer.compress(content) + packer.flush())


def test_photographs_become_much_smaller_than_by_the_ordinary_way():
    raw = [decode(photo, 224).numpy().tobytes() for photo in photographs.shipped()]
    packed = sum(compressed_size(pack(one), 1, zlib.Z_HUFFMAN_ONLY) for one in raw)
    ordinary = sum(compressed_size(one, 6, zlib.Z_DEFAULT_STRATEGY) for one in raw)
    assert packed < 0.7 * ordinary and packed < 0.57 * sum(map(len, raw))
