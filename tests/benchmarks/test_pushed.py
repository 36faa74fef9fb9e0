"""What the benchmarks of kills and nights take for a version that is not whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.lib.pushed import half_pushed, not_once
from edgetune.modules.release import marker
from edgetune.modules.release.release import Places
from tests.helpers.releases import write_release


@pytest.fixture
def places(tmp_path) -> Places:
    made = Places(str(tmp_path / "edge"), str(tmp_path / "saved_model"))
    write_release(made, 7)
    return made


def test_a_whole_release_is_not_wrong(places):
    assert half_pushed(places) == not_once(places) == []


@pytest.mark.parametrize(
    ("file", "wrong"),
    [
        ("edge/7/SHA256SUMS", "edge 7: SHA256SUMS is not as delivered"),
        ("edge/7/bundle.json", "edge 7: bundle.json is not as delivered"),
        ("saved_model/7/saved_model.pb", "saved_model 7: saved_model.pb is not as delivered"),
        ("edge/releases/7.json", "version 7: "),
        ("edge/.8.part/model.tflite", "edge/.8.part is left"),
        ("saved_model/8/saved_model.pb", "saved_model/8 has no marker"),
    ],
)
def test_files_that_are_not_as_a_marker_says_are_wrong(places, tmp_path, file, wrong):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("altered")
    assert wrong in "; ".join(half_pushed(places))


def test_what_a_kill_leaves_is_allowed_until_the_next_run(places, tmp_path):
    Path(marker.path_of(places.edge, 7)).rename(marker.path_of(places.edge, 7, intent=True))
    (tmp_path / "edge" / ".8.part").mkdir()
    assert half_pushed(places, interrupted=True) == []
    assert len(half_pushed(places)) == 4, "the part, the intent and two versions without a marker"
    assert not_once(places)


def test_a_model_that_was_released_twice_or_not_wholly_is_wrong(places, tmp_path):
    write_release(places, 8)
    assert "markers [7, 8]" in not_once(places)[0]
    shutil.rmtree(tmp_path / "edge" / "8")
    Path(marker.path_of(places.edge, 8)).unlink()
    assert "edge [7], saved_model [7, 8]" in not_once(places)[0]
