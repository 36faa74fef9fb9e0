"""Names of the files that come with the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetune.modules.core.package_paths import located, portable


def test_a_file_of_the_code_is_named_without_the_folder_it_lies_in(root):
    schema = root / "schemas" / "examples.pbtxt"
    assert portable(str(schema)) == "edgetune:schemas/examples.pbtxt"
    assert Path(located("edgetune:schemas/examples.pbtxt")).resolve() == schema
    assert portable(located("edgetune:schemas/examples.pbtxt")) == "edgetune:schemas/examples.pbtxt"


@pytest.mark.parametrize("other", ["imagenet", "none", "/photos/weights.h5", "gs://bucket/w.h5", "weights.h5", ""])
def test_whatever_else_is_left_alone_both_ways(other):
    assert portable(other) == located(other) == other
