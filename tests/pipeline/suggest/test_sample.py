"""Which images a choice sees."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgetune.modules.core.errors import DataError
from edgetune.modules.settings.run import DataSettings
from edgetune.pipeline.suggest import sample
from edgetune.pipeline.suggest.sample import draw
from tests.tiny import model


def write(folder: Path, counts: dict[str, int], size: int = 24) -> Path:
    for label, count in counts.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = model.image(label, 1000 * model.LABELS.index(label) + number, size=size)
            (folder / label / f"p{number // 2}_{number}.png").write_bytes(model.png(pixels))
    return folder


def data(folder: Path, **others: object) -> DataSettings:
    return DataSettings.model_validate({"path": str(folder), "min_examples_per_class": 1, **others})


def test_classes_have_equal_shares_and_the_order_and_place_of_the_files_make_no_difference(tmp_path, monkeypatch):
    counts = {"red": 14, "green": 3, "blue": 9}
    folders = [write(tmp_path / "first", counts), write(tmp_path / "else" / "where", counts)]
    drawn = []
    for number, folder in enumerate(folders):
        output = tmp_path / f"out-{number}"
        output.mkdir()
        drawn.append(draw(data(folder), 18, output))
        monkeypatch.setattr(sample, "labelled", lambda *given, listed=sample.labelled: reversed(list(listed(*given))))
    assert [one.classes for one in drawn] == [("blue", "green", "red")] * 2
    assert Counter(drawn[0].label.tolist()) == {0: 6, 1: 3, 2: 6}
    assert (drawn[0].of, drawn[0].unread, len(drawn[0].files)) == (26, 0, 15)
    assert list(drawn[0].encoded()) == list(drawn[1].encoded())


def test_a_given_test_split_is_not_seen_and_unreadable_images_are_counted(tmp_path):
    for split in ("train", "eval", "test"):
        write(tmp_path / "data" / split, {"red": 6, "blue": 6})
    (tmp_path / "data" / "train" / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "out").mkdir()
    found = draw(data(tmp_path / "data"), 1000, tmp_path / "out")
    assert (len(found.files), found.of, found.unread) == (24, 25, 1)


def test_near_duplicates_and_named_groups_are_together(tmp_path):
    write(tmp_path / "data", {"red": 6, "blue": 6})
    (tmp_path / "data" / "red" / "p9_copy.png").write_bytes((tmp_path / "data" / "red" / "p0_0.png").read_bytes())
    (tmp_path / "out").mkdir()
    # The copy of red/p0_0.png is in no named group with it.
    named = draw(data(tmp_path / "data", group="/p([0-9]+)_"), 1000, tmp_path / "out")
    assert sorted(Counter(named.group.tolist()).values()) == [4, 4, 5]
    plain = draw(data(tmp_path / "data", duplicate_distance=0), 1000, tmp_path / "out")
    assert sorted(np.unique(plain.group, return_counts=True)[1].tolist()) == [1] * 11 + [2]


def test_one_class_leaves_nothing_to_choose_by(tmp_path):
    write(tmp_path / "data", {"red": 6})
    (tmp_path / "data" / "blue").mkdir()
    (tmp_path / "data" / "blue" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="6 images that can be read, of 1 classes"):
        draw(data(tmp_path / "data"), 1000, tmp_path / "out")
