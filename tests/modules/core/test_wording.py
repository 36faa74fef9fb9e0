"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from edgetune.modules.core.wording import counted


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((0, "image"), "0 images"),
        ((1, "image"), "1 image"),
        ((1234, "image"), "1,234 images"),
        ((1, "class", "classes"), "1 class"),
        ((2, "class", "classes"), "2 classes"),
    ],
)
def test_one_is_singular_and_all_others_are_plural(given, text):
    assert counted(*given) == text
