"""The evaluations that markers name, by which models are compared on platforms."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edgetune.modules.core.errors import PushError
from edgetune.modules.release import marker
from edgetune.modules.release.earlier import evaluations
from edgetune.modules.release.release import Places
from tests.helpers.releases import write_release


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(str(tmp_path / "edge"), str(tmp_path / "saved_model"))


def released(places: Places, *ages: int) -> None:
    """Write releases of so many days ago, as versions 1, 2, ...; the evaluation of version 1 is `e1`."""
    for version, age in enumerate(ages, start=1):
        created = (datetime.now(timezone.utc) - timedelta(days=age)).isoformat(timespec="seconds")
        write_release(places, version, evaluation=f"e{version}", created=created)


def test_recent_releases_are_found_the_oldest_first(places):
    assert evaluations(places.edge, 90, 30) == []
    released(places, 100, 80, 40, 0)
    assert evaluations(places.edge, 90, 30) == ["e2", "e3", "e4"]
    assert evaluations(places.edge, 90, 2) == ["e2", "e4"]


def test_the_last_release_counts_however_old(places):
    released(places, 900, 800)
    assert evaluations(places.edge, 90, 30) == ["e2"]


def test_after_a_rollback_the_last_one_is_what_serves(places):
    released(places, 3, 2, 1)
    write_release(places, 4, rollback_to=1, evaluation="e1", created=datetime.now(timezone.utc).isoformat())
    assert evaluations(places.edge, 90, 30) == ["e2", "e3", "e1"]


def test_a_release_without_an_evaluation_is_passed_over_and_a_damaged_marker_is_not(places):
    released(places, 2)
    write_release(places, 2)
    assert evaluations(places.edge, 90, 30) == ["e1"]
    Path(marker.path_of(places.edge, 2)).write_text("{}")
    with pytest.raises(PushError, match=r"2\.json: is not the marker of a release"):
        evaluations(places.edge, 90, 30)


@pytest.mark.parametrize("created", ["yesterday", "2026-11-30T10:00:00"])
def test_a_time_that_cannot_be_compared_is_damage(places, created):
    write_release(places, 1)
    path = Path(marker.path_of(places.edge, 1))
    path.write_text(json.dumps({**json.loads(path.read_text()), "created": created}))
    with pytest.raises(PushError, match=r"1\.json: is not the marker of a release: created"):
        marker.read(places.edge, 1)
