"""The embedded digits: written completely or not at all, once, and equal to scikit-learn's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from edgetune.modules.data.digits import write_digits


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("data") / "deep" / "digits")


def test_1797_images_are_written_to_ten_folders_with_scikit_learns_counts(written):
    counts = Counter(path.parent.name for path in written.glob("*/*.png"))
    assert counts == Counter(str(label) for label in load_digits().target)
    assert len(counts) == 10 and counts.total() == 1797
    assert [path.name for path in written.parent.iterdir()] == ["digits"]
    assert written.stat().st_mode & 0o777 == 0o755


def test_the_pixels_are_scikit_learns_scaled_to_the_full_range(written):
    digits = load_digits()
    for number in (0, 1, 2, 900, 1796):
        with Image.open(written / str(digits.target[number]) / f"{number:04}.png") as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.rint(np.asarray(image) * (16 / 255)), digits.images[number])
    with Image.open(written / "0" / "0000.png") as image:
        assert image.getextrema() == (0, 239)  # 15 of 16 shades


def test_an_existing_folder_is_left_unchanged(tmp_path):
    folder = tmp_path / "digits"
    (folder / "mine").mkdir(parents=True)
    assert write_digits(folder) == folder
    assert [path.name for path in folder.rglob("*")] == ["mine"]


def failing_after(monkeypatch: pytest.MonkeyPatch, images: int, action) -> None:
    """Run `action` after some images have been saved."""
    saved = Image.Image.save
    written = []

    def save(self, path):
        if len(written) == images:
            action()
        written.append(path)
        saved(self, path)

    monkeypatch.setattr(Image.Image, "save", save)


@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()], ids=["disk", "interrupt"])
def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch, error):
    def action():
        assert list(tmp_path.iterdir()) and not (tmp_path / "digits").exists()
        raise error

    failing_after(monkeypatch, 5, action)
    with pytest.raises(type(error)):
        write_digits(tmp_path / "digits")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_written_by_a_faster_run_is_not_an_error(tmp_path, monkeypatch):
    failing_after(monkeypatch, 1796, lambda: (tmp_path / "digits" / "0").mkdir(parents=True))
    assert write_digits(tmp_path / "digits") == tmp_path / "digits"
    assert [path.name for path in tmp_path.rglob("*")] == ["digits", "0"]
