"""A model's answers to labelled images are counted by class, with intervals; what does not count is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetune.modules.core.errors import ConfigError, DataError
from edgetune.modules.evaluation.intervals import wilson
from edgetune.modules.settings.run import DataSettings
from edgetune.pipeline.classify.evaluation import Evaluation, as_lines, evaluate

LABELS = ["jay", "owl", "robin"]


class Told:
    """Stands in for a model: answers with the class and the probability that the name of an image tells."""

    path, labels, thresholds = Path("model"), LABELS, None

    def __init__(self, says: str = "damaged") -> None:
        self.says = says

    def answers(self, images: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
        for name, image in images:
            assert isinstance(image, Path) and image.is_file()
            label, share, _ = Path(name).name.split("-")
            scores = np.full(3, (1 - float(share)) / 2, np.float32)
            if label == "broken":
                yield name, DataError(f"{name}: {self.says}")
            else:
                scores[LABELS.index(label)] = float(share)
                yield name, scores


def put(folder: Path, *answers: str) -> None:
    """Write a file for each answer, `<class>-<probability>`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, answer in enumerate(answers):
        (folder / f"{answer}-{number}.jpg").touch()


@pytest.fixture
def data(tmp_path) -> Path:
    put(tmp_path / "jay", *["jay-0.9"] * 8, "owl-0.6", "owl-0.9", "broken-0")
    put(tmp_path / "owl", *["owl-0.9"] * 5, *["owl-0.5"] * 5)
    put(tmp_path / "wren", "jay-0.9", "jay-0.9", "owl-0.9")
    return tmp_path


def judged(data: Path, split: str | None = None, says: str = "damaged", **options: Any) -> Evaluation:
    return evaluate(Told(says), DataSettings(path=str(data)), split, **options)


def test_answers_are_counted_by_class_and_the_rest_is_told(data):
    asked: list[None] = []
    found = judged(data, thresholds=[0.8, 0.7, None], report=lambda: asked.append(None))
    assert len(asked) == 24
    assert found.counts.tolist() == [[8, 2, 0], [0, 10, 0], [0, 0, 0]]
    said = found.as_json()
    low, high = wilson(18, 20)
    assert said["accuracy"] == {"value": 0.9, "low": low, "high": high, "right": 18, "of": 20}
    assert (said["classes"]["jay"]["recall"]["value"], said["classes"]["owl"]["precision"]["of"]) == (0.8, 12)
    assert said["classes"]["robin"]["recall"] == {"value": None, "low": None, "high": None, "right": 0, "of": 0}
    # 14 answers reach their threshold: eight jays, an owl that is a jay, five owls.
    assert (said["accepted"]["answers"]["right"], said["accepted"]["precision"]["right"]) == (14, 13)
    assert said["unknown_classes"] == {"wren": {"jay": 2, "owl": 1}}
    assert said["unreadable"] == ["jay/broken-0-10.jpg: damaged"]


def test_notes_beside_the_images_are_not_images_that_cannot_be_read(data):
    (data / "jay" / "broken-0-notes.txt").touch()
    found = judged(data, says="not an image of a known format (JPEG, PNG)")
    assert found.unreadable == ("jay/broken-0-10.jpg: not an image of a known format (JPEG, PNG)",)
    assert found.accuracy.of == 20


def test_it_is_printed_with_intervals_and_all_that_does_not_count(data):
    lines = list(as_lines(judged(data, thresholds=[0.8, 0.7, None])))
    assert lines[1] == f"data      {data}: 20 images of classes that the model has"
    assert lines[2] == "accuracy  90.0% (18 of 20; 95% interval 69.9% to 97.2%)"
    assert lines[3].startswith("accepted  70.0% (14 of 20;") and "92.9% (13 of 14;" in lines[3]
    rows = {line.split()[0]: line.split() for line in lines if line[:1].isalpha()}
    assert rows["owl"][1:] == ["0", "10", "0"]  # the last one is of the matrix
    text = "\n".join(lines)
    assert "owl 2" in text and "unknown class wren: 3 images, taken for jay 2, owl 1" in text
    assert "classes of the model without images here: robin" in text
    assert "not read: jay/broken-0-10.jpg: damaged" in text
    assert "\njay      8    2      0\nowl      0   10      0\n" in text
    assert "\njay        10   80.0%  49.0% to 94.3%" in text


def test_many_classes_have_their_most_frequent_confusions_instead_of_a_matrix():
    counts = np.diag(np.full(12, 5))
    counts[3, 7], counts[2, 1] = 4, 1
    lines = list(as_lines(Evaluation("m", "d", "all", [f"c{n}" for n in range(12)], counts)))
    assert "  c3 taken for c7: 4 of 9" in lines and "  c2 taken for c1: 1 of 6" in lines
    assert sum("taken for c" in line for line in lines) == 2


def test_the_test_split_is_measured_unless_another_is_asked_for(tmp_path):
    for split, count in {"train": 3, "eval": 2, "test": 1}.items():
        for label in ("jay", "owl"):
            put(tmp_path / split / label, *[f"{label}-0.9"] * count)
    for split, images in {None: 2, "train": 6, "all": 12}.items():
        found = judged(tmp_path, split)
        assert (found.accuracy.of, found.split) == (images, split or "test")
    put(tmp_path / "plain" / "jay", "jay-1")
    put(tmp_path / "plain" / "owl", "owl-1")
    assert judged(tmp_path / "plain").split == "all"
    with pytest.raises(ConfigError, match="--split test: .*/plain has no splits"):
        judged(tmp_path / "plain", "test")


def test_lists_are_read_by_their_columns(tmp_path):
    put(tmp_path / "img", "jay-0.9", "owl-0.9")
    (tmp_path / "list.csv").write_text("path,label\nimg/jay-0.9-0.jpg,jay\nimg/owl-0.9-1.jpg,owl\n")
    assert judged(tmp_path / "list.csv").accuracy.right == 2


def test_without_an_image_of_a_known_class_nothing_is_measured(tmp_path):
    put(tmp_path / "wren", "jay-0.9")
    put(tmp_path / "tit", "owl-0.9")
    with pytest.raises(DataError, match="no image of a class that the model has") as caught:
        judged(tmp_path)
    assert "the model has jay, owl, robin" in caught.value.remedy
