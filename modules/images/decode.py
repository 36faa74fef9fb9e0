"""Decode and resize an encoded image to the model's input.

This is the only implementation: Transform, the serving signatures, the representative data of quantization and the
evaluators all call it, so that they cannot diverge. It returns plain RGB; an architecture's normalisation is a layer
inside the model.
"""

from __future__ import annotations

import tensorflow as tf

CHANNELS = 3
_STRING = tf.TensorSpec([], tf.string)


def decode(encoded: tf.Tensor, image_size: int) -> tf.Tensor:
    """Decode one image and resize it to the model's input.

    The image is stretched to a square, as the usual phone clients do by default. Antialiasing keeps large photographs
    free of aliasing when they are scaled down.

    Args:
        encoded: string scalar: a JPEG or PNG, upright, 8 bits a channel, grey, RGB or RGBA.
        image_size: Height and width of the result, in pixels.

    Returns:
        uint8 `[image_size, image_size, 3]`, RGB in 0..255.
    """
    pixels = tf.io.decode_image(encoded, channels=CHANNELS, expand_animations=False)
    resized = tf.image.resize(pixels, [image_size, image_size], method="bilinear", antialias=True)
    image = tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)
    return tf.ensure_shape(image, [image_size, image_size, CHANNELS])


def decode_to_raw(encoded: tf.Tensor, image_size: int) -> tf.Tensor:
    """Apply `decode` to a string vector `[N]`, with the pixels of only one image in memory at a time.

    Returns:
        String `[N]`: for each image its `image_size * image_size * 3` bytes in the order of uint8 `[S, S, 3]`.
    """
    return tf.map_fn(lambda one: _raw(decode(one, image_size)), encoded, fn_output_signature=_STRING)


def _raw(image: tf.Tensor) -> tf.Tensor:
    # TensorFlow has no operation for this, but a serialized uint8 tensor ends with its content.
    length = tf.size(image)
    return tf.strings.substr(tf.io.serialize_tensor(image), -length, length)


def from_raw(raw: tf.Tensor, image_size: int) -> tf.Tensor:
    """Convert the output of `decode_to_raw` to pixels: string `[...]` to uint8 `[..., image_size, image_size, 3]`."""
    shape = tf.concat([tf.shape(raw), [image_size, image_size, CHANNELS]], axis=0)
    return tf.reshape(tf.io.decode_raw(raw, tf.uint8), shape)
