"""Findings about pictures: each kind from the pixels of a picture that has it, and none for a photograph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageFilter

from edgetune.modules.data.picture_findings import KINDS, flaws, pictures
from edgetune.modules.images.perceptual_hash import appearance
from edgetune.modules.images.picture_facts import PictureFacts
from tests.helpers import photographs

GOOD = PictureFacts(contrast=50.0, sharpness=0.4, brightest=0.9, darkest=0.1, grey_below=0.0)


def kinds(facts: PictureFacts, width: int = 320, height: int = 240, image_size: int = 224) -> list[str]:
    return [kind for kind, _ in flaws(facts, width, height, image_size)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"contrast": 0.99}, ["blank"]),
        ({"contrast": 1.0}, ["uniform"]),
        ({"contrast": 4.99, "brightest": 0.01, "sharpness": 0.01}, ["uniform"]),  # and neither dark nor blurred
        ({"contrast": 5.0}, []),
        ({"brightest": 0.3199}, ["dark"]),
        ({"brightest": 0.32}, []),
        ({"darkest": 0.951}, ["bright"]),
        ({"darkest": 0.95}, []),
        ({"sharpness": 0.1199}, ["blurred"]),
        ({"sharpness": 0.12}, []),
        ({"grey_below": 4 / 64}, ["cut_off"]),
        ({"grey_below": 3 / 64}, []),
    ],
)
def test_the_bounds(changes, expected):
    assert kinds(replace(GOOD, **changes)) == expected


def test_sides_are_relative_to_each_other_and_to_the_network():
    assert kinds(GOOD, 640, 3) == ["distorted", "enlarged"]  # a panorama of 12,000 x 60
    assert kinds(GOOD, 640, 224) == [] and kinds(GOOD, 224, 641) == ["distorted"]
    assert kinds(GOOD, 112, 112) == [] and kinds(GOOD, 300, 111) == ["enlarged"]
    assert dict(flaws(GOOD, 100, 56, 224)) == {"enlarged": 0.25}
    blurred = replace(GOOD, sharpness=0.1)  # of a picture of 63 pixels, it was enlarged to be measured
    assert kinds(blurred, 63, 90, 64) == [] and kinds(blurred, 64, 90, 64) == ["blurred"]


def scene(blur: float = 0.0) -> np.ndarray:
    drawn = photographs.scene(3, 320, 240)
    return np.asarray(drawn.filter(ImageFilter.GaussianBlur(blur)) if blur else drawn)


def test_facts_of_pixels():
    facts = appearance(scene()).facts
    assert kinds(facts) == []
    assert appearance(scene(16)).facts.sharpness < facts.sharpness / 2
    # Neither brightness nor contrast change the sharpness.
    darker = appearance((scene() // 2).astype(np.uint8)).facts
    assert darker.sharpness == pytest.approx(facts.sharpness, rel=0.05)
    assert darker.contrast == pytest.approx(facts.contrast / 2, rel=0.05)

    red = np.zeros((240, 320, 3), np.uint8)
    red[..., 0] = 200
    plain = appearance(red).facts
    assert plain.contrast < 0.1 and plain.sharpness == 0 and plain.grey_below == 0
    red[:, 160:] = (0, 102, 0)  # as bright, and of another colour
    assert appearance(red).facts.contrast > 20

    tenth = np.zeros((100, 100, 3), np.uint8)
    tenth[:10] = 255
    assert appearance(tenth).facts.brightest == pytest.approx(1) and appearance(tenth).facts.darkest == 0


def test_grey_of_missing_data_is_not_any_grey():
    cut = scene().copy()
    cut[180:] = 128
    assert appearance(cut).facts.grey_below == pytest.approx(0.25, abs=2 / 64)
    cut[180:] = 150
    assert appearance(cut).facts.grey_below == 0
    assert appearance(np.full((64, 64, 3), 128, np.uint8)).facts.grey_below == 0  # a plain picture


def test_every_kind_has_words():
    for kind in KINDS:
        found = pictures(kind, 2, 1000, [])
        assert found.cause.startswith("2 pictures of 1,000 are ") and found.remedy and found.informs
