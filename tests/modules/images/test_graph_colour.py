"""ICC profiles in the graph against LittleCMS, which Pillow uses."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageCms

from edgetune.modules.images import graph_read
from edgetune.modules.images.reading import Reading
from tests.helpers import icc_profiles

READING = Reading(10_000)
_LIST = [round(65535 * (step / 40) ** 1.9) for step in range(41)]
PROFILES = {
    "display p3": icc_profiles.display_p3(),
    "adobe rgb": icc_profiles.adobe_rgb(),
    "linear": icc_profiles.with_tags(icc_profiles.with_curve(icc_profiles.curv())),
    "list": icc_profiles.with_tags(icc_profiles.with_curve(icc_profiles.curv(*_LIST))),
    "formula 0": icc_profiles.with_tags(icc_profiles.with_curve(icc_profiles.para(0, 1.8))),
    "formula 1": icc_profiles.with_tags(icc_profiles.with_curve(icc_profiles.para(1, 2.0, 0.95, 0.05))),
    "formula 2": icc_profiles.with_tags(icc_profiles.with_curve(icc_profiles.para(2, 2.0, 0.9, 0.05, 0.05))),
    "formula 3": icc_profiles.with_tags(icc_profiles.with_curve(icc_profiles.para(3, 3.0, 0.9, 0.1, 0.2, 0.1))),
    "formula 4": icc_profiles.with_tags(
        icc_profiles.with_curve(icc_profiles.para(4, 2.2, 0.9, 0.05, 0.2, 0.1, 0.03, 0.01))
    ),
    "three curves": icc_profiles.with_tags({b"gTRC": icc_profiles.curv(256 + 128), b"bTRC": icc_profiles.para(0, 2.6)}),
    "red is green": icc_profiles.red_is_green(),
}


def png(pixels: np.ndarray, profile: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", icc_profile=profile)
    return buffer.getvalue()


def read(content: bytes) -> tuple[str, np.ndarray]:
    fault, pixels = graph_read.read(tf.constant(content), READING)
    return fault.numpy().decode(), pixels.numpy().astype(int)


@pytest.mark.parametrize("name", PROFILES)
def test_colours_are_those_of_littlecms(name):
    pixels = np.random.default_rng(1).integers(0, 256, (90, 90, 3), np.uint8)
    source = ImageCms.ImageCmsProfile(io.BytesIO(PROFILES[name]))
    image = ImageCms.profileToProfile(
        Image.fromarray(pixels), source, ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    expected = np.asarray(image).astype(int)
    assert np.abs(expected - pixels).max() > 10  # the profile matters
    fault, found = read(png(pixels, PROFILES[name]))
    assert not fault
    # LittleCMS computes in 16 bits or less, which shows in the steep beginning of sRGB's curve.
    assert np.abs(found - expected).max() <= 3
    assert np.percentile(np.abs(found - expected), 99) <= 1


def test_srgb_profiles_change_nothing():
    pixels = np.random.default_rng(1).integers(0, 256, (90, 90, 3), np.uint8)
    for profile in (icc_profiles.srgb(), icc_profiles.with_tags({}), b"no profile at all"):
        fault, found = read(png(pixels, profile))
        assert not fault
        np.testing.assert_array_equal(found, pixels)


def test_a_profile_with_tables_is_refused():
    fault, _ = read(png(np.zeros((9, 9, 3), np.uint8), icc_profiles.with_tables()))
    assert fault == "has a color profile with tables: send it with an sRGB profile or none"
