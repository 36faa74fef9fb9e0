"""Decoding to the model's input, compared with Pillow and numpy."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from edgetune.modules.images.decode import decode, decode_to_raw, from_raw
from edgetune.modules.images.reading import Reading
from tests.helpers import photographs


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def stripes(height: int, width: int) -> np.ndarray:
    """Stripes one pixel wide: scaled down without antialiasing, they would become a coarse pattern."""
    rows, columns = np.mgrid[:height, :width]
    channels = [(rows + columns) % 2 * 255, columns % 2 * 255, rows * 255 // height]
    return np.stack(channels, axis=-1).astype(np.uint8)


def pillow(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return the image resized by Pillow's BILINEAR, which is antialiased when it scales down."""
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(int) - other.astype(int))


def check_against_pillow(pixels: np.ndarray, size: int) -> None:
    found = decode(encoded(pixels), size).numpy()
    assert found.shape == (size, size, 3) and found.dtype == np.uint8
    # Pillow rounds after each of its two passes, which may make one level of difference.
    assert difference(found, pillow(pixels, size)).max() <= 1


@pytest.mark.parametrize("shape", [(90, 160), (33, 32), (20, 300)])
@pytest.mark.parametrize("size", [32, 200])
def test_resizing_is_bilinear_with_antialiasing_like_pillows(shape, size):
    check_against_pillow(stripes(*shape), size)


def test_the_comparison_with_pillow_detects_missing_antialiasing():
    pixels = stripes(90, 160)
    aliased = tf.image.resize(pixels, [32, 32], method="bilinear").numpy()
    assert difference(aliased, pillow(pixels, 32)).max() > 50


def test_photographs_are_resized_as_pillow_does():
    for photo in photographs.jpegs():
        with Image.open(io.BytesIO(photo)) as image:
            pixels = np.asarray(image.convert("RGB"))
        check_against_pillow(pixels, 96)
        # TensorFlow's JPEG decoder takes a faster transform than Pillow's: about a level of difference.
        assert difference(decode(photo, 96).numpy(), pillow(pixels, 96)).mean() < 1.5


def test_an_image_of_the_models_size_keeps_its_pixels():
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(encoded(pixels), 32), pixels)


def test_grey_becomes_three_equal_channels():
    grey = np.random.default_rng(1).integers(0, 256, (32, 32), dtype=np.uint8)
    np.testing.assert_array_equal(decode(encoded(grey), 32), np.repeat(grey[..., None], 3, axis=-1))


def test_transparent_pixels_show_the_background():
    rgba = np.random.default_rng(1).integers(0, 256, (32, 32, 4), dtype=np.uint8)
    front, alpha = rgba[..., :3].astype(int), rgba[..., 3:].astype(int)
    for background in ((255, 255, 255), (10, 200, 90)):
        expected = np.rint((front * alpha + np.array(background) * (255 - alpha)) / 255)
        np.testing.assert_array_equal(decode(encoded(rgba), 32, Reading(background=background)), expected)


def test_a_jpeg_of_one_colour_keeps_its_colour():
    pixels = np.full((40, 50, 3), (200, 100, 50), np.uint8)
    found = decode(encoded(pixels, "JPEG"), 32).numpy()
    assert difference(found, pixels[:32, :32]).max() <= 2


def test_one_pixel_fills_the_whole_image():
    found = decode(encoded(np.full((1, 1, 3), (7, 130, 255), np.uint8)), 33).numpy()
    assert found.shape == (33, 33, 3)
    assert (found == (7, 130, 255)).all()


def test_a_file_that_is_not_an_image_is_an_error():
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(b"neither JPEG nor PNG", 32)


def test_graph_eager_batch_and_single_decoding_agree():
    images = [encoded(stripes(48, 64)), encoded(stripes(5, 5), "JPEG"), encoded(stripes(32, 40)[..., 2])]
    single = np.stack([decode(one, 32).numpy() for one in images])
    graph = tf.function(
        lambda batch: from_raw(decode_to_raw(batch, 32), 32), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    np.testing.assert_array_equal(graph(tf.constant(images)), single)
    assert graph(tf.constant([], tf.string)).shape == (0, 32, 32, 3)
    assert list(decode_to_raw(tf.constant(images), 32).numpy()) == [one.tobytes() for one in single]


def test_raw_bytes_equal_numpys_and_convert_back_unchanged():
    images = np.random.default_rng(1).integers(0, 256, (5, 17, 17, 3), dtype=np.uint8)
    images[1], images[2] = 0, 255
    files = tf.constant([encoded(image) for image in images])
    for function in (decode_to_raw, tf.function(decode_to_raw)):
        raw = function(files, 17)
        assert list(raw.numpy()) == [image.tobytes() for image in images]
    np.testing.assert_array_equal(from_raw(raw, 17), images)
    np.testing.assert_array_equal(from_raw(raw[3], 17), images[3])
    np.testing.assert_array_equal(from_raw(tf.reshape(raw, [5, 1]), 17), images[:, None])


def test_raw_bytes_of_another_size_are_an_error():
    with pytest.raises(tf.errors.InvalidArgumentError):
        from_raw(tf.constant([b"\0" * (16 * 16 * 3)]), 17)
