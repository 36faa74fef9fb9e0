"""Random changes of training images. Made in the trainer: what Transform writes is the same in every epoch."""

from __future__ import annotations

import tensorflow as tf

from modules.settings import AugmentationSettings

_FULL_RANGE = 255.0


def augment(image: tf.Tensor, seed: tf.Tensor, settings: AugmentationSettings) -> tf.Tensor:
    """Changes one image at random; the same seed gives the same change.

    Args:
        image: `[S, S, 3]`, RGB in 0..255, of any number type.
        seed: int `[2]`.
        settings: What may be changed, and by how much.

    Returns:
        float32 `[S, S, 3]` in 0..255.
    """
    image = tf.cast(image, tf.float32)
    flip, shift, light = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    if settings.flip_horizontal:
        image = tf.image.stateless_random_flip_left_right(image, flip)
    if settings.translation:
        size = image.shape[0]
        reach = max(1, round(settings.translation * size))
        # Mirrored at the border: a black one would be a feature of augmented images alone.
        padded = tf.pad(image, [[reach, reach], [reach, reach], [0, 0]], mode="SYMMETRIC")
        image = tf.image.stateless_random_crop(padded, [size, size, 3], shift)
    if settings.brightness:
        limit = settings.brightness * _FULL_RANGE
        image += tf.random.stateless_uniform([], light, -limit, limit)
        image = tf.clip_by_value(image, 0.0, _FULL_RANGE)
    return image
