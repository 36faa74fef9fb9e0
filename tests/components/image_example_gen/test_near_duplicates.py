"""Which images are compared, and which one stands for all that look equal, without a pipeline."""

from __future__ import annotations

import numpy as np

from edgetune.components.image_example_gen.near_duplicates import _Bands, _Collapse, _compare
from edgetune.modules.data.near_duplicates import _ORDER, Edge, Image, band_width
from edgetune.modules.images.perceptual_hash import BITS, SIGNATURE

DISTANCE = 12


def test_a_known_image_stands_for_all_that_look_equal():
    new, old, other = Image(b"a", ""), Image(b"b", "train"), Image(b"c", "test")
    first, *edges = _Collapse().process((b"signature", [new, other, old]))
    assert first == (b"signature", old)
    assert [edge.value for edge in edges] == [Edge(old, other), Edge(old, new)]


def test_images_are_compared_in_every_band():
    """Two hashes differ in one bit of each band but one, whichever that is."""
    bits = np.random.default_rng(1).integers(0, 2, BITS, np.uint8)
    colours = bytes([128]) * (SIGNATURE - BITS // 8)
    images = [Image(b"a", ""), Image(b"b", "")]
    for shared in range(DISTANCE + 1):
        other = bits.copy()
        other[[_ORDER[band * band_width(DISTANCE)] for band in range(DISTANCE + 1) if band != shared]] ^= 1
        packer = _Bands(DISTANCE)
        packer.start_bundle()
        for each, image in zip((bits, other), images, strict=True):
            assert list(packer.process((np.packbits(each).tobytes() + colours, image))) == []
        found = [
            edge
            for packed in packer.finish_bundle()
            for edge in _compare((packed.value[0], [packed.value[1]]), DISTANCE)
        ]
        assert [{edge.left, edge.right} for edge in found] == [set(images)], shared
