"""A version on its way to a folder: what a push that fails leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetune.modules.core.errors import PushError
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.digests import file_digests
from edgetune.modules.storage.versions import Copy, claim


def test_a_failed_push_removes_only_what_it_switched(tmp_path):
    source, destination = tmp_path / "model", tmp_path / "pushed"
    source.mkdir()
    destination.mkdir()
    (source / "saved_model.pb").write_text("ours")
    copy = Copy(str(destination), 7, file_digests(str(source)), "saved_model.pb")
    assert copy.claim()
    copy.write(str(source))
    Path(copy.path).mkdir()  # somebody who does not claim numbers
    Path(copy.path, "theirs").write_text("theirs")
    with pytest.raises(OSError, match="not empty"):
        copy.switch()
    copy.remove()
    copy.unclaim()
    assert [path.name for path in destination.rglob("*")] == ["7", "theirs"]


def test_only_folders_that_servers_take_for_versions_count(tmp_path):
    """TensorFlow Serving reads ASCII digits, up to 2^63 - 1: others would number every later version."""
    for name in ("7", "008", "99999999999999999999", "٩٩٩٩٩٩٩٩٩٩٩٩", "²", "+12", "1_0", "new"):
        (tmp_path / name).mkdir()
    assert filesystem.versions(str(tmp_path)) == [7, 8]
    [copy] = claim([(str(tmp_path), {}, "saved_model.pb")], above=1 << 40)
    assert copy.version == (1 << 40) + 1


def test_above_the_highest_version_that_there_can_be_is_none(tmp_path):
    destination, highest = tmp_path / "pushed", (1 << 63) - 1
    (destination / str(highest)).mkdir(parents=True)
    with pytest.raises(PushError, match=f"pushed: has version {highest}, and there is no higher one") as caught:
        claim([(str(tmp_path / "other"), {}, "SHA256SUMS"), (str(destination), {}, "saved_model.pb")])
    assert "move it away" in caught.value.remedy
    assert [path.name for path in destination.iterdir()] == [str(highest)]
