"""Markers that say what was released, and those that do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgetune.modules.core.errors import PushError
from edgetune.modules.release import marker
from edgetune.modules.release.release import Places
from tests.helpers.releases import write_release


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(str(tmp_path / "edge"), str(tmp_path / "saved_model"))


def test_versions_are_ordered_as_numbers(places):
    for version in (100, 9, 20):
        write_release(places, version)
    assert marker.released(places.edge) == [9, 20, 100]


def test_a_marker_under_the_name_of_another_version_is_refused(places):
    write_release(places, 1)
    Path(marker.path_of(places.edge, 1)).rename(marker.path_of(places.edge, 2))
    with pytest.raises(PushError, match=r"2\.json: is the marker of version 1"):
        marker.read(places.edge, 2)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a//x", "./x", ""])
def test_a_marker_that_names_a_file_outside_its_folder_is_refused(places, name):
    write_release(places, 1)
    path = Path(marker.path_of(places.edge, 1))
    found = json.loads(path.read_text())
    found["edge"]["files"][name] = "0" * 64
    path.write_text(json.dumps(found))
    with pytest.raises(PushError, match="is not the marker of a release: edge.files"):
        marker.read(places.edge, 1)
