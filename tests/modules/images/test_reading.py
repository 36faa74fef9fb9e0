"""The options of reading, from settings and from execution properties."""

from __future__ import annotations

import pytest

from edgetune.modules.images.reading import Reading


@pytest.mark.parametrize("background", [[255, 128, 0], "#ff8000"])
@pytest.mark.parametrize(("max_side", "expected"), [(640, 640), (0, None), (None, None)])
def test_settings_and_execution_properties_give_the_same_options(background, max_side, expected):
    values = {"max_pixels": 100, "max_side": max_side, "background": background, "other": 1}
    assert Reading.of(values) == Reading(100, expected, (255, 128, 0))
