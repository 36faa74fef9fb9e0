"""Augmentation: each change alone, its bounds, and that the seed determines it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.settings.run import AugmentationSettings
from edgetune.modules.training.augmentation import augment, changes

OFF = {"flip_horizontal": False, "crop": 1.0, "brightness": 0.0, "translation": 0.0}
SEEDS = range(40)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(40, 200, (12, 12, 3), dtype=np.uint8)


def augmented(image: np.ndarray, **changes: object) -> Iterator[np.ndarray]:
    for seed in SEEDS:
        yield augment(tf.constant(image), tf.constant([seed, 7]), AugmentationSettings(**{**OFF, **changes})).numpy()


def test_with_everything_off_the_image_is_unchanged(image):
    for found in augmented(image):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, image)


def test_the_seed_determines_the_image(image):
    everything = AugmentationSettings(flip_horizontal=True, crop=1.0, brightness=0.2, translation=0.2)
    one, same, other = (augment(tf.constant(image), tf.constant(seed), everything) for seed in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0
    graph = tf.function(lambda pixels, seed: augment(pixels, seed, everything))
    np.testing.assert_allclose(graph(tf.constant(image), tf.constant([1, 2])), one, atol=1e-3)


def test_a_horizontal_flip_is_exact_and_applies_to_about_half_of_the_images(image):
    mirrored = 0
    for found in augmented(image, flip_horizontal=True):
        if np.array_equal(found, image[:, ::-1]):
            mirrored += 1
        else:
            np.testing.assert_array_equal(found, image)
    assert 10 <= mirrored <= 30  # of 40: fails with a probability of a thousandth, but the seeds are fixed


def test_brightness_shifts_all_pixels_equally_within_its_bound(image):
    steps = []
    for found in augmented(image, brightness=0.1):
        step = found - image
        assert np.ptp(step) < 1e-3
        steps.append(step.mean())
    assert max(map(abs, steps)) <= 25.5
    assert min(steps) < -12 and max(steps) > 12  # both directions, over most of the range


def test_brightness_stays_within_0_and_255(image):
    found = np.stack(list(augmented(image, brightness=1.0)))
    assert found.min() == 0 and found.max() == 255


def test_a_shift_stays_within_its_bound_and_mirrors_at_the_border(image):
    reach = 3  # a quarter of 12 pixels
    padded = np.pad(image, [(reach, reach), (reach, reach), (0, 0)], mode="symmetric")
    crops = {
        padded[y : y + 12, x : x + 12].astype(np.float32).tobytes(): (y - reach, x - reach)
        for y in range(2 * reach + 1)
        for x in range(2 * reach + 1)
    }
    shifts = [crops[found.tobytes()] for found in augmented(image, translation=0.25)]
    assert len(set(shifts)) > 15
    for axis in (0, 1):
        assert {shift[axis] for shift in shifts} == set(range(-reach, reach + 1))


def test_the_smallest_shift_is_one_pixel(image):
    moved = [found for found in augmented(image, translation=0.01) if not np.array_equal(found, image)]
    assert len(moved) > 20


def test_a_vertical_flip_is_exact_and_applies_to_about_half_of_the_images(image):
    turned = 0
    for found in augmented(image, flip_vertical=True):
        if np.array_equal(found, image[::-1]):
            turned += 1
        else:
            np.testing.assert_array_equal(found, image)
    assert 10 <= turned <= 30


def test_quarter_turns_equal_numpys_and_all_four_occur(image):
    turns = {np.rot90(image, k).astype(np.float32).tobytes(): k for k in range(4)}
    assert {turns[found.tobytes()] for found in augmented(image, quarter_turns=True)} == {0, 1, 2, 3}


# --- rotation and crop: the values of a ramp tell which pixels they were taken from

SIZE = 64


def ramp() -> np.ndarray:
    """Return an image with the row in channel 0 and the column in channel 1, exact under bilinear interpolation."""
    rows, columns = np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.float32)


def origins(found: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the source position of the middle, and its change for one step down and for one step right."""
    half = SIZE // 2
    around = found[half - 5 : half + 5, half - 5 : half + 5, :2].astype(np.float64)
    return around.mean((0, 1)), np.diff(around, axis=0).mean((0, 1)), np.diff(around, axis=1).mean((0, 1))


def test_a_rotation_is_about_the_middle_within_its_bound_and_keeps_distances():
    angles = []
    for found in augmented(ramp(), rotation=30.0):
        centre, down, right = origins(found)
        np.testing.assert_allclose(centre, [(SIZE - 1) / 2] * 2, atol=1e-3)
        np.testing.assert_allclose([np.hypot(*down), np.hypot(*right), down @ right], [1.0, 1.0, 0.0], atol=1e-3)
        angles.append(np.degrees(np.arctan2(down[1], down[0])))
    assert max(map(abs, angles)) <= 30.0
    assert min(angles) < -20 and max(angles) > 20


def test_a_tiny_rotation_keeps_the_image_and_the_border_is_mirrored(image):
    for found in augmented(image, rotation=1e-4):
        np.testing.assert_allclose(found, image, atol=0.05)
    for found in augmented(np.full((12, 12, 3), 200, np.uint8), rotation=45.0):
        np.testing.assert_allclose(found, 200.0, atol=1e-3)  # no corner has another colour


@pytest.mark.parametrize("rotation", [0.0, 1e-4])
def test_a_crop_lies_inside_the_image_with_area_and_ratio_in_bounds(rotation):
    """Both ways of resampling are tested: a tiny rotation selects the general one."""
    areas, ratios, centres = [], [], []
    for found in augmented(ramp(), crop=0.5, rotation=rotation):
        centre, down, right = origins(found)
        assert abs(down[1]) < 1e-3 and abs(right[0]) < 1e-3
        sides = np.array([down[0], right[1]])
        half = sides * SIZE / 2
        assert (centre + 0.5 - half >= -1e-2).all() and (centre + 0.5 + half <= SIZE + 1e-2).all()
        areas.append(sides.prod())
        ratios.append(sides[1] / sides[0])
        centres.append(centre)
    assert 0.5 - 1e-3 <= min(areas) < 0.6 and 0.9 < max(areas) <= 1.0 + 1e-3
    assert 3 / 4 - 1e-3 <= min(ratios) < 0.85 and 1.15 < max(ratios) <= 4 / 3 + 1e-3
    assert np.ptp(centres, axis=0).min() > 5


def test_both_ways_of_resampling_give_the_same_crop():
    pairs = zip(augmented(ramp(), crop=0.4), augmented(ramp(), crop=0.4, rotation=1e-5), strict=True)
    for fast, general in pairs:
        np.testing.assert_allclose(fast[1:-1, 1:-1], general[1:-1, 1:-1], atol=2e-3)


# --- colours


def test_contrast_scales_about_the_mean_of_each_channel_within_its_bound(image):
    image = image // 2 + 60  # far enough from 0 and 255 not to be clipped
    mean = image.mean((0, 1))
    factors = []
    for found in augmented(image, contrast=0.2):
        factor = (found - mean)[..., 0].std() / (image - mean)[..., 0].std()
        np.testing.assert_allclose(found, mean + factor * (image - mean), atol=1e-2)
        factors.append(factor)
    assert 0.8 <= min(factors) < 0.85 and 1.15 < max(factors) <= 1.2


def luma(pixels: np.ndarray) -> np.ndarray:
    return pixels @ np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def muted() -> np.ndarray:
    """Return colours that no change in these tests moves out of the range."""
    return np.random.default_rng(2).integers(100, 150, (12, 12, 3), dtype=np.uint8)


def test_saturation_scales_the_distance_from_grey_and_keeps_luma(muted):
    grey = luma(muted)[..., None]
    factors = []
    for found in augmented(muted, saturation=0.5):
        factor = ((found - grey) * (muted - grey)).sum() / ((muted - grey) ** 2).sum()
        np.testing.assert_allclose(found, grey + factor * (muted - grey), atol=0.05)
        factors.append(factor)
    assert 0.5 - 1e-3 <= min(factors) < 0.6 and 1.4 < max(factors) <= 1.5 + 1e-3


def chroma(pixels: np.ndarray) -> np.ndarray:
    yiq = tf.image.rgb_to_yiq(tf.constant(pixels, tf.float32)).numpy()
    return yiq[..., 1] + 1j * yiq[..., 2]


def test_hue_rotates_chroma_within_its_bound_and_keeps_luma(muted):
    turns = []
    for found in augmented(muted, hue=0.1):
        np.testing.assert_allclose(luma(found), luma(muted), atol=0.05)
        turn = (chroma(found) / chroma(muted)).mean()
        assert abs(turn) == pytest.approx(1.0, abs=2e-3)
        turns.append(np.angle(turn) / (2 * np.pi))
    assert max(map(abs, turns)) <= 0.1 + 1e-3
    assert min(turns) < -0.07 and max(turns) > 0.07


def test_hue_and_saturation_are_drawn_independently(muted):
    settings = AugmentationSettings(flip_horizontal=False, crop=1.0, brightness=0.0, hue=0.1, saturation=0.5)
    found = [
        (chroma(augment(muted, tf.constant([3, number]), settings).numpy()) / chroma(muted)).mean()
        for number in range(40)
    ]
    assert abs(np.corrcoef(np.abs(found), np.angle(found))[0, 1]) < 0.5


def test_grey_stays_grey_under_every_change_of_colour():
    grey = np.repeat(np.random.default_rng(3).integers(0, 256, (12, 12, 1), dtype=np.uint8), 3, axis=-1)
    for found in augmented(grey, hue=0.5, saturation=1.0):
        np.testing.assert_allclose(found, grey, atol=0.02)
    for found in augmented(grey, hue=0.5, saturation=1.0, contrast=0.9, brightness=0.5):
        assert np.ptp(found, axis=-1).max() < 0.1


# --- together

EVERYTHING = {
    "flip_horizontal": True,
    "flip_vertical": True,
    "quarter_turns": True,
    "rotation": 180.0,
    "crop": 0.1,
    "translation": 0.5,
    "brightness": 0.9,
    "contrast": 0.9,
    "saturation": 1.0,
    "hue": 0.5,
}


def test_everything_covers_all_settings():
    assert set(EVERYTHING) == set(AugmentationSettings.model_fields)


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_setting_alone_changes_images(image, name):
    alone = {**OFF, name: EVERYTHING[name]}
    assert changes(AugmentationSettings(**alone)) and changes(AugmentationSettings())
    assert not changes(AugmentationSettings(**OFF))
    assert any(not np.array_equal(found, image) for found in augmented(image, **alone))


@pytest.mark.parametrize(
    "wrong",
    [
        {"rotation": 181},
        {"rotation": -1},
        {"crop": 0},
        {"crop": 1.1},
        {"translation": 0.6},
        {"contrast": 1.0},
        {"saturation": 1.1},
        {"hue": 0.6},
        {"brightness": 2},
    ],
)
def test_values_out_of_range_are_rejected(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AugmentationSettings(**wrong)


def test_switching_one_change_on_does_not_affect_the_others(image):
    pairs = zip(augmented(image, flip_horizontal=True), augmented(image, flip_horizontal=True, hue=1e-6), strict=True)
    for without, with_another in pairs:
        np.testing.assert_allclose(without, with_another, atol=0.05)


def test_augmentation_is_the_same_inside_and_outside_of_tf_data(image):
    settings = AugmentationSettings(**EVERYTHING)
    seeds = tf.data.Dataset.range(4).map(lambda number: tf.stack([number, number]))
    inside = list(seeds.map(lambda seed: augment(tf.constant(image), seed, settings)))
    assert all(found.shape == (12, 12, 3) for found in inside)
    for number, found in enumerate(inside):
        outside = augment(tf.constant(image), tf.constant([number, number], tf.int64), settings)
        np.testing.assert_allclose(found, outside, atol=0.05)


def test_all_changes_together_keep_shape_range_and_dtype(image):
    for found in augmented(image, **EVERYTHING):
        assert found.shape == (12, 12, 3) and found.dtype == np.float32
        assert found.min() >= 0 and found.max() <= 255
