"""What the function costs that every exported graph has, and what becomes of files on which it fails."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.images import graph_read
from edgetune.modules.images.reader import Unusable, read_image
from tests.helpers.camera_files import DAMAGED_PROFILE, READING, WITHOUT_THE_LAST_BYTES, alpha, encoded, pixels


def test_the_graph_is_small():
    """Tracing, loading and optimizing it take time in proportion (benchmarks/serving/reading.py)."""
    graph = graph_read._function().graph.as_graph_def()
    nodes = len(graph.node) + sum(len(function.node_def) for function in graph.library.function)
    assert nodes < 1750 and len(graph.library.function) < 60


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_file_that_only_pillow_reads_is_damaged_for_the_graph_and_stored_as_png(kind):
    content = WITHOUT_THE_LAST_BYTES[kind]
    fault, found = graph_read.attempt(content, READING)
    assert fault == "cannot be decoded: its data is damaged or cut off" and found.size == 0
    stored = read_image(content, READING).encoded
    fault, found = graph_read.attempt(stored, READING)
    assert not fault and stored.startswith(b"\x89PNG")
    np.testing.assert_allclose(found, pixels(), atol=0 if kind == "PNG" else 16)


def test_a_png_with_a_damaged_packed_profile_is_refused_and_stored_without_the_profile():
    with pytest.raises(tf.errors.DataLossError):
        graph_read.read(tf.constant(DAMAGED_PROFILE), READING)
    assert graph_read.attempt(DAMAGED_PROFILE, READING)[0] == (
        "has a damaged color profile: send it with an sRGB profile or none"
    )
    stored = read_image(DAMAGED_PROFILE, READING).encoded
    np.testing.assert_array_equal(graph_read.attempt(stored, READING)[1], pixels())


def test_ingest_does_not_hide_that_the_graph_fails_on_a_sound_file(monkeypatch):
    def fails(*_: object) -> None:
        raise tf.errors.InvalidArgumentError(None, None, "Input to reshape is a tensor with 22500 values")

    monkeypatch.setattr(graph_read, "read_by_graph", fails)
    content = encoded(alpha("RGBA"), "PNG")
    with pytest.raises(tf.errors.InvalidArgumentError, match="Input to reshape"):
        graph_read.attempt(content, READING)
    with pytest.raises(Unusable, match="the exported graph fails on it, though TensorFlow decodes it: a bug"):
        read_image(content, READING)


def test_sixteen_bits_are_rounded_to_eight_by_the_full_range():
    levels = np.arange(1 << 16)
    found = graph_read._to_8_bits(tf.constant(levels, tf.uint16)).numpy()
    np.testing.assert_array_equal(found, np.rint(levels / 257))


def test_colours_over_a_background_are_rounded_to_the_nearest_level():
    colours, alpha = np.meshgrid(np.arange(256), np.arange(256))
    for background in (0, 100, 255):
        over = graph_read._over(
            tf.constant(np.repeat(colours[..., None], 3, axis=2), tf.uint8),
            tf.constant(alpha[..., None], tf.uint8),
            (background,) * 3,
        )
        expected = (colours * alpha + background * (255 - alpha)) / 255
        assert np.abs(over.numpy()[..., 0] - expected).max() <= 0.5


def test_resizing_is_antialiased_bilinear_and_rounds():
    """Doubling mixes neighbours 3 : 1; halving weighs four of them 1 : 3 : 3 : 1, by the wider triangle."""

    def row(levels: list[int], width: int) -> list[int]:
        image = tf.constant(np.repeat(np.uint8(levels)[None, :, None], 3, axis=2))
        return graph_read.resized(image, tf.constant([1, width])).numpy()[0, :, 0].tolist()

    assert row([0, 101], 4) == [0, 25, 76, 101]
    assert row([0, 200, 0, 0, 0, 0, 0, 0], 4) == [86, 25, 0, 0]
    assert row([0, 0, 200, 0, 0, 0, 0, 0], 4) == [29, 75, 0, 0]


def test_a_jpeg_is_halved_only_while_half_as_much_again_is_left():
    sizes = [(2999, 10), (3000, 10), (10, 5999), (10, 6000), (12000, 12000), (60000, 1)]
    found = [int(graph_read.halvings(tf.constant(h), tf.constant(w), tf.constant(1000))) for h, w in sizes]
    assert found == [0, 1, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [((40, 20), 40, (40, 20)), ((40, 20), 50, (40, 20)), ((40, 20), 10, (10, 5)), ((40, 1), 10, (10, 1))],
)
def test_an_image_is_scaled_down_to_its_longest_side_and_never_up(shape, side, expected):
    image = tf.zeros((*shape, 3), tf.uint8)
    found = graph_read.within(image, *map(tf.constant, shape), tf.constant(side))
    assert found.shape[:2] == expected
