"""Random augmentation of training images, done in the trainer because Transform's output is the same in every epoch.

Geometric changes come first, then changes of colour. Flips, quarter turns and shifts move whole pixels; rotation and
crop share one resampling, so an image is never blurred twice; saturation and hue share one matrix.
`benchmarks/training/augmentation.py` measures what each costs.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from edgetune.modules.settings.run import AugmentationSettings

_FULL_RANGE = 255.0
# Largest aspect ratio of a crop, from Szegedy et al., "Going Deeper with Convolutions" (2015), section 6.
_ASPECT = 4 / 3
# NTSC luma and its two chroma axes from columns of R, G and B: the matrix of tf.image.rgb_to_yiq, to four digits.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], np.float32)
# fmt: off
_CHANGES = (
    "flip_horizontal", "flip_vertical", "quarter_turns", "rotation", "crop", "translation",
    "brightness", "contrast", "saturation", "hue",
)
# fmt: on


def changes(settings: AugmentationSettings) -> bool:
    """Return whether `augment` changes anything; if not, all views of an image are equal."""
    return settings.crop < 1.0 or any(getattr(settings, name) for name in _CHANGES if name != "crop")


def augment(image: tf.Tensor, seed: tf.Tensor, settings: AugmentationSettings) -> tf.Tensor:
    """Change one image at random; the same seed gives the same change.

    Each kind of change has its own seed, so switching one on or off does not affect the others.

    Args:
        image: `[S, S, 3]`, RGB in 0..255, of any numeric dtype; S must be known when the graph is built.
        seed: int `[2]`.
        settings: Which changes to make, and their limits.

    Returns:
        float32 `[S, S, 3]` in 0..255.
    """
    seeds = dict(zip(_CHANGES, tf.unstack(tf.random.experimental.stateless_split(seed, len(_CHANGES))), strict=True))
    return _recolour(_move_pixels(tf.cast(image, tf.float32), seeds, settings), seeds, settings)


def _move_pixels(image: tf.Tensor, seeds: dict[str, tf.Tensor], settings: AugmentationSettings) -> tf.Tensor:
    size = image.shape[0]
    if settings.flip_horizontal:
        image = tf.image.stateless_random_flip_left_right(image, seeds["flip_horizontal"])
    if settings.flip_vertical:
        image = tf.image.stateless_random_flip_up_down(image, seeds["flip_vertical"])
    if settings.quarter_turns:
        turns = tf.random.stateless_uniform([], seeds["quarter_turns"], 0, 4, tf.int32)
        image = tf.ensure_shape(tf.image.rot90(image, turns), [size, size, 3])
    if settings.rotation or settings.crop < 1.0:
        image = _resample(image, seeds, settings)
    if settings.translation:
        reach = max(1, round(settings.translation * size))
        # Mirror at the border: a black border would be a feature that only augmented images have.
        padded = tf.pad(image, [[reach, reach], [reach, reach], [0, 0]], mode="SYMMETRIC")
        image = tf.image.stateless_random_crop(padded, [size, size, 3], seeds["translation"])
    return image


def _resample(image: tf.Tensor, seeds: dict[str, tf.Tensor], settings: AugmentationSettings) -> tf.Tensor:
    """Crop and rotate in one bilinear resampling; the crop is rotated about its own centre."""
    shape = image.shape
    last = shape[0] - 1
    middle = last / 2
    sides, centre = tf.ones([2]), tf.fill([2], middle)
    if settings.crop < 1.0:
        sides, centre = _crop(shape[0], seeds["crop"], settings.crop)
    if not settings.rotation:  # takes a third of the time
        box = tf.concat([centre - sides * middle, centre + sides * middle], 0) / last
        return tf.ensure_shape(tf.image.crop_and_resize(image[None], box[None], [0], shape[:2])[0], shape)
    reach = math.radians(settings.rotation)
    angle = tf.random.stateless_uniform([], seeds["rotation"], -reach, reach)
    cos, sin = tf.cos(angle), tf.sin(angle)
    down, right = tf.unstack(sides)
    to_x, to_y = [right * cos, -down * sin], [right * sin, down * cos]
    # Maps each pixel of the result to its source: x' = t[0] x + t[1] y + t[2], y' = t[3] x + t[4] y + t[5].
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
    """Draw a random rectangle within the image.

    Returns:
        Its height and width as fractions of the image's, and its centre (row, column) in pixels: float32 `[2]` each.
    """
    area_seed, aspect_seed, offset_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    area = tf.random.stateless_uniform([], area_seed, smallest, 1.0)
    # Keep both sides within the image: clipping them would make the area smaller than the one drawn.
    bound = tf.minimum(math.log(_ASPECT), -tf.math.log(area))
    aspect = tf.exp(bound * tf.random.stateless_uniform([], aspect_seed, -1.0, 1.0))
    sides = tf.stack([tf.sqrt(area / aspect), tf.sqrt(area * aspect)])
    offset = tf.random.stateless_uniform([2], offset_seed, -0.5, 0.5)
    return sides, (size - 1) / 2 + offset * (1.0 - sides) * size


def _recolour(image: tf.Tensor, seeds: dict[str, tf.Tensor], settings: AugmentationSettings) -> tf.Tensor:
    if settings.brightness:
        limit = settings.brightness * _FULL_RANGE
        image += tf.random.stateless_uniform([], seeds["brightness"], -limit, limit)
    if settings.contrast:
        lowest, highest = 1.0 - settings.contrast, 1.0 + settings.contrast
        image = tf.image.stateless_random_contrast(image, lowest, highest, seeds["contrast"])
    if settings.saturation or settings.hue:
        # tf.image goes through HSV, and takes three times as long for each of the two as this takes for both.
        image = tf.nn.conv2d(image[None], _chroma(seeds, settings)[None, None], 1, "VALID")[0]
    if settings.brightness or settings.contrast or settings.saturation or settings.hue:
        image = tf.clip_by_value(image, 0.0, _FULL_RANGE)
    return image


def _chroma(seeds: dict[str, tf.Tensor], settings: AugmentationSettings) -> tf.Tensor:
    """Return the matrix for rows of RGB that scales and rotates the chroma plane and keeps luma.

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
