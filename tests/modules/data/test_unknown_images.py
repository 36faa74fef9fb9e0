"""Images of none of the classes: every file is read or named, and a change of any file changes the fingerprint."""

from __future__ import annotations

import os

import pytest
import tensorflow as tf

from edgetune.modules.core.errors import DataError
from edgetune.modules.data import unknown_images
from edgetune.modules.images.reading import Reading
from tests.tiny import model


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "unknown" / "inside").mkdir(parents=True)
    (tmp_path / "unknown" / "a.png").write_bytes(model.png(model.image("red", 1)))
    (tmp_path / "unknown" / "inside" / "b.png").write_bytes(model.png(model.image("blue", 2)))
    (tmp_path / "unknown" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (tmp_path / "unknown" / ".hidden").write_bytes(b"")
    return tmp_path / "unknown"


def test_images_are_read_with_those_in_folders_and_what_cannot_be_is_named(folder):
    first, broken, last = unknown_images.read(str(folder), Reading(10_000))
    assert tf.io.decode_image(first).shape == tf.io.decode_image(last).shape == (32, 32, 3)
    assert isinstance(broken, str) and broken.startswith("broken.jpg: ")


def test_images_are_read_with_the_settings_of_the_data(folder):
    first, _, _ = unknown_images.read(f"{folder}/", Reading(10_000, 16))
    assert tf.io.decode_image(first).shape == (16, 16, 3)
    refused = list(unknown_images.read(str(folder), Reading(100)))
    assert refused[0] == "a.png: more pixels than data.max_pixels 100"


def test_a_link_out_of_the_folder_is_not_followed(folder, tmp_path):
    (tmp_path / "private.png").write_bytes(model.png(model.image("red", 1)))
    (folder / "c.png").symlink_to(tmp_path / "private.png")
    assert [item for item in unknown_images.read(str(folder), Reading(10_000)) if str(item).startswith("c.png")]


def test_folders_that_link_to_each_other_end(folder):
    (folder / "inside" / "loop").symlink_to(folder)
    with pytest.raises(DataError, match="more than 8 folders deep"):
        unknown_images.fingerprint(str(folder))


def test_the_fingerprint_changes_with_every_file(folder):
    seen = {unknown_images.fingerprint(str(folder))}
    assert unknown_images.fingerprint(f"{folder}/") in seen
    for change in (
        lambda: (folder / "inside" / "b.png").rename(folder / "b.png"),
        lambda: (folder / "b.png").write_bytes(b"other"),
        lambda: os.utime(folder / "a.png", ns=(1, 1)),
        lambda: (folder / "a.png").unlink(),
    ):
        change()
        found = unknown_images.fingerprint(str(folder))
        assert found not in seen
        seen.add(found)


def test_a_folder_that_is_missing_or_empty_is_an_error(tmp_path):
    for path, why in ((tmp_path / "absent", "does not exist"), (tmp_path, "contains no files")):
        with pytest.raises(DataError, match=f"data.unknown .*: {why}"):
            unknown_images.fingerprint(str(path))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="is not a folder"):
        unknown_images.fingerprint(str(tmp_path / "file"))
