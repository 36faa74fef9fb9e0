"""From an encoded image to the model's input: the only place where that is written.

Transform, the serving signatures, the representative data of quantization and the evaluators all call this, so there
is no second copy that could drift. What comes out is plain RGB; an architecture's normalisation is a layer inside the
model.
"""

from __future__ import annotations

import tensorflow as tf

CHANNELS = 3
_STRING = tf.TensorSpec([], tf.string)


def decode(encoded: tf.Tensor, image_size: int) -> tf.Tensor:
    """One encoded image as the model sees it.

    The image is stretched to the square, as the usual clients on phones do by default, with antialiasing: without it,
    a large photograph that is made small would alias.

    Args:
        encoded: string scalar: a JPEG or a PNG, upright, 8 bits a channel, grey, RGB or RGBA.
        image_size: Height and width of the result, in pixels.

    Returns:
        uint8 `[image_size, image_size, 3]`, RGB in 0..255.
    """
    pixels = tf.io.decode_image(encoded, channels=CHANNELS, expand_animations=False)
    resized = tf.image.resize(pixels, [image_size, image_size], method="bilinear", antialias=True)
    image = tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)
    return tf.ensure_shape(image, [image_size, image_size, CHANNELS])


def decode_batch(encoded: tf.Tensor, image_size: int) -> tf.Tensor:
    """As `decode`, for a string vector `[N]`: uint8 `[N, image_size, image_size, 3]`."""
    shape = tf.TensorSpec([image_size, image_size, CHANNELS], tf.uint8)
    return tf.map_fn(lambda one: decode(one, image_size), encoded, fn_output_signature=shape)


def decode_to_raw(encoded: tf.Tensor, image_size: int) -> tf.Tensor:
    """As `decode` and then `to_raw`, for a string vector `[N]`: the pixels of one image at a time are in memory."""
    return tf.map_fn(lambda one: _raw(decode(one, image_size)), encoded, fn_output_signature=_STRING)


def to_raw(images: tf.Tensor) -> tf.Tensor:
    """Images uint8 `[N, S, S, 3]` as string `[N]`: their bytes in that order, `S * S * 3` each."""
    return tf.map_fn(_raw, images, fn_output_signature=_STRING)


def _raw(image: tf.Tensor) -> tf.Tensor:
    # TensorFlow has no operation for just that. A serialized tensor of uint8 ends with its content.
    length = tf.size(image)
    return tf.strings.substr(tf.io.serialize_tensor(image), -length, length)


def from_raw(raw: tf.Tensor, image_size: int) -> tf.Tensor:
    """What `to_raw` made: string `[...]` to uint8 `[..., image_size, image_size, 3]`."""
    shape = tf.concat([tf.shape(raw), [image_size, image_size, CHANNELS]], axis=0)
    return tf.reshape(tf.io.decode_raw(raw, tf.uint8), shape)
