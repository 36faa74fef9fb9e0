"""A version on its way to a folder: what a push that fails leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetune.modules.storage.digests import file_digests
from edgetune.modules.storage.versions import Copy


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
