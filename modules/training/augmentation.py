"""Random changes of training images. Made in the trainer: what Transform writes is the same in every epoch.

First what moves pixels, then what recolours them. Flips, quarter turns and shifts only move whole pixels; rotation and
crop are one resampling together, so an image is never blurred twice; saturation and hue are one matrix. What each costs
is measured by `benchmarks/training/augmentation.py`.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from edgetune.modules.settings.run import AugmentationSettings

_FULL_RANGE = 255.0
# Bounds of the sides' ratio, from Szegedy et al., "Going Deeper with Convolutions" (2015), section 6.
_ASPECT = 4 / 3
# NTSC's luma and its two axes of chroma, from columns of R, G and B: tf.image.rgb_to_yiq's, to four digits.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], np.float32)
# fmt: off
_CHANGES = (
    "flip_horizontal", "flip_vertical", "quarter_turns", "rotation", "crop", "translation",
    "brightness", "contrast", "saturation", "hue",
)
# fmt: on


def changes(settings: AugmentationSettings) -> bool:
    """Whether `augment` changes anything at all; where it does not, one view of an image is as good as many."""
    return settings.crop < 1.0 or any(getattr(settings, name) for name in _CHANGES if name != "crop")


def augment(image: tf.Tensor, seed: tf.Tensor, settings: AugmentationSettings) -> tf.Tensor:
    """Changes one image at random; the same seed gives the same change.

    Each change draws from a seed of its own: to switch one on or off leaves the others as they were.

    Args:
        image: `[S, S, 3]`, RGB in 0..255, of any number type; S is known when the graph is built.
        seed: int `[2]`.
        settings: What may be changed, and by how much.

    Returns:
        float32 `[S, S, 3]` in 0..255.
    """
    seeds = dict(zip(_CHANGES, tf.unstack(tf.random.experimental.stateless_split(seed, len(_CHANGES))), strict=True))
    return _recoloured(_moved(tf.cast(image, tf.float32), seeds, settings), seeds, settings)


def _moved(image: tf.Tensor, seeds: dict[str, tf.Tensor], settings: AugmentationSettings) -> tf.Tensor:
    size = image.shape[0]
    if settings.flip_horizontal:
        image = tf.image.stateless_random_flip_left_right(image, seeds["flip_horizontal"])
    if settings.flip_vertical:
        image = tf.image.stateless_random_flip_up_down(image, seeds["flip_vertical"])
    if settings.quarter_turns:
        turns = tf.random.stateless_uniform([], seeds["quarter_turns"], 0, 4, tf.int32)
        image = tf.ensure_shape(tf.image.rot90(image, turns), [size, size, 3])
    if settings.rotation or settings.crop < 1.0:
        image = _resampled(image, seeds, settings)
    if settings.translation:
        reach = max(1, round(settings.translation * size))
        # Mirrored at the border: a black one would be a feature of augmented images alone.
        padded = tf.pad(image, [[reach, reach], [reach, reach], [0, 0]], mode="SYMMETRIC")
        image = tf.image.stateless_random_crop(padded, [size, size, 3], seeds["translation"])
    return image


def _resampled(image: tf.Tensor, seeds: dict[str, tf.Tensor], settings: AugmentationSettings) -> tf.Tensor:
    """Crop and rotation in one bilinear resampling: the crop is turned about its own centre."""
    shape = image.shape
    last = shape[0] - 1
    middle = last / 2
    sides, centre = tf.ones([2]), tf.fill([2], middle)
    if settings.crop < 1.0:
        sides, centre = _crop(shape[0], seeds["crop"], settings.crop)
    if not settings.rotation:  # a third of the time
        box = tf.concat([centre - sides * middle, centre + sides * middle], 0) / last
        return tf.ensure_shape(tf.image.crop_and_resize(image[None], box[None], [0], shape[:2])[0], shape)
    reach = math.radians(settings.rotation)
    angle = tf.random.stateless_uniform([], seeds["rotation"], -reach, reach)
    cos, sin = tf.cos(angle), tf.sin(angle)
    down, right = tf.unstack(sides)
    to_x, to_y = [right * cos, -down * sin], [right * sin, down * cos]
    # Where in the image each pixel of the result is: x' = t[0] x + t[1] y + t[2], y' = t[3] x + t[4] y + t[5].
    transform = [
        *(*to_x, centre[1] - middle * (to_x[0] + to_x[1])),
        *(*to_y, centre[0] - middle * (to_y[0] + to_y[1])),
        *(0.0, 0.0),
    ]
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.stack(transform)[None],
        output_shape=shape[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    return tf.ensure_shape(turned[0], shape)


def _crop(size: int, seed: tf.Tensor, smallest: float) -> tuple[tf.Tensor, tf.Tensor]:
    """A random rectangle within the image.

    Returns:
        Its height and width as fractions of the image's, and its centre (row, column) in pixels: float32 `[2]` each.
    """
    area_seed, aspect_seed, place_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    area = tf.random.stateless_uniform([], area_seed, smallest, 1.0)
    # No ratio that would make a side longer than the image: cut off there, the area would be smaller than said.
    bound = tf.minimum(math.log(_ASPECT), -tf.math.log(area))
    aspect = tf.exp(bound * tf.random.stateless_uniform([], aspect_seed, -1.0, 1.0))
    sides = tf.stack([tf.sqrt(area / aspect), tf.sqrt(area * aspect)])
    place = tf.random.stateless_uniform([2], place_seed, -0.5, 0.5)
    return sides, (size - 1) / 2 + place * (1.0 - sides) * size


def _recoloured(image: tf.Tensor, seeds: dict[str, tf.Tensor], settings: AugmentationSettings) -> tf.Tensor:
    if settings.brightness:
        limit = settings.brightness * _FULL_RANGE
        image += tf.random.stateless_uniform([], seeds["brightness"], -limit, limit)
    if settings.contrast:
        lowest, highest = 1.0 - settings.contrast, 1.0 + settings.contrast
        image = tf.image.stateless_random_contrast(image, lowest, highest, seeds["contrast"])
    if settings.saturation or settings.hue:
        # Through HSV, as tf.image does it, each of the two takes three times as long as this for both.
        image = tf.nn.conv2d(image[None], _chroma(seeds, settings)[None, None], 1, "VALID")[0]
    if settings.brightness or settings.contrast or settings.saturation or settings.hue:
        image = tf.clip_by_value(image, 0.0, _FULL_RANGE)
    return image


def _chroma(seeds: dict[str, tf.Tensor], settings: AugmentationSettings) -> tf.Tensor:
    """The matrix for rows of RGB that leaves luma as it is, and stretches and turns the plane of chroma.

    Method: Haeberli, "Matrix Operations for Image Processing" (1993), in YIQ.

    Returns:
        float32 `[3, 3]`.
    """
    strength, angle = tf.constant(1.0), tf.constant(0.0)
    if settings.saturation:
        lowest, highest = 1.0 - settings.saturation, 1.0 + settings.saturation
        strength = tf.random.stateless_uniform([], seeds["saturation"], lowest, highest)
    if settings.hue:
        limit = 2.0 * math.pi * settings.hue
        angle = tf.random.stateless_uniform([], seeds["hue"], -limit, limit)
    cos, sin = strength * tf.cos(angle), strength * tf.sin(angle)
    turn = tf.stack([tf.constant([1.0, 0.0, 0.0]), tf.stack([0.0, cos, -sin]), tf.stack([0.0, sin, cos])])
    return tf.transpose(np.linalg.inv(_YIQ) @ turn @ _YIQ)
