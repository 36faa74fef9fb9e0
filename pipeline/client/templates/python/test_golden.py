"""The golden images of the bundle get the answers that were measured, in every variant: `pytest`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from classifier import BUNDLE, Classifier, resized, upright
from PIL import Image

EXPECTED = json.loads((BUNDLE / "golden" / "expected.json").read_text(encoding="utf-8"))
FACTS = json.loads((BUNDLE / "bundle.json").read_text(encoding="utf-8"))
# Other CPUs sum in another order, and round to another step of 8 bits.
TOLERANCE = {"float32": 0.001, "float16": 0.001, "int8": 0.05, "dynamic": 0.05}


@pytest.mark.parametrize("variant", FACTS["variants"])
def test_answers_are_those_that_were_measured(variant: str) -> None:
    classifier = Classifier(variant)
    assert classifier.labels == EXPECTED["labels"]
    for image in EXPECTED["images"]:
        pixels = upright(Image.open(BUNDLE / "golden" / image["file"]))
        assert pixels.shape == (classifier.size, classifier.size, 3)
        found = classifier.probabilities(pixels)
        assert found == pytest.approx(image["probabilities"][variant], abs=TOLERANCE[variant]), image["file"]


def test_a_photograph_is_turned_upright() -> None:
    lying = Image.fromarray(np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8))  # red above blue
    lying.getexif()[0x0112] = 6  # the camera was turned: show it turned clockwise by 90 degrees
    assert upright(lying).tolist() == [[[0, 0, 255], [255, 0, 0]]]


def test_transparent_pixels_get_the_background() -> None:
    assert upright(Image.new("RGBA", (1, 1), (9, 9, 9, 0)), (1, 2, 3)).tolist() == [[[1, 2, 3]]]


def test_the_resize_averages_what_it_shrinks() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), 64)[np.newaxis, :, np.newaxis]
    found = resized(np.broadcast_to(stripes, (128, 128, 3)), 4)
    assert found.shape == (4, 4, 3) and np.abs(found.astype(int) - 127.5).max() < 8
