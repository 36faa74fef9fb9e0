"""Portable names of the files shipped with the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetune.modules.core.package_paths import located, portable


def test_a_file_of_the_code_has_a_name_without_its_folder(root):
    schema = root / "schemas" / "examples.pbtxt"
    assert portable(str(schema)) == "edgetune:schemas/examples.pbtxt"
    assert Path(located("edgetune:schemas/examples.pbtxt")).resolve() == schema
    assert portable(located("edgetune:schemas/examples.pbtxt")) == "edgetune:schemas/examples.pbtxt"


@pytest.mark.parametrize("other", ["imagenet", "none", "/photos/weights.h5", "gs://bucket/w.h5", "weights.h5", ""])
def test_other_paths_are_unchanged_in_both_directions(other):
    assert portable(other) == located(other) == other
