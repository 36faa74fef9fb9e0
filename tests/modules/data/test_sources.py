"""Detection of the form of the data: every supported form, and the message of every error."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from edgetune.modules.core.errors import DataError
from edgetune.modules.data.class_folders import ignored
from edgetune.modules.data.sources import Source, discover
from edgetune.modules.settings.run import DataSettings
from edgetune.modules.storage import filesystem


def settings(base: Path | str, **changes: object) -> DataSettings:
    return DataSettings(path=str(base), **{"min_examples_per_class": 2, **changes})


def put(folder: Path, count: int = 2) -> None:
    """Create files of which only the number matters."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.jpg").touch()


def refused(base: Path | str, **changes: object) -> str:
    with pytest.raises(DataError) as caught:
        discover(settings(base, **changes))
    assert caught.value.remedy
    return caught.value.cause


def test_class_folders_are_split_by_edgetune(tmp_path):
    put(tmp_path / "cat")
    put(tmp_path / "dog")
    source = discover(settings(tmp_path))
    assert source == Source("images", str(tmp_path), {"all": "*/*"}, images=4)
    assert not source.has_splits
    assert discover(settings(f"{tmp_path}/")) == source


@pytest.mark.parametrize("names", [("train", "eval", "test"), ("training", "validation", "testing"), ("train", "val")])
def test_ready_splits_are_recognised_by_their_usual_names(tmp_path, names):
    train, evaluation, test = names if len(names) == 3 else (*names, "test")
    for name in (train, evaluation, test):
        put(tmp_path / name / "cat")
        put(tmp_path / name / "dog")
    source = discover(settings(tmp_path))
    patterns = {"train": f"{train}/*/*", "eval": f"{evaluation}/*/*", "test": f"{test}/*/*"}
    assert source == Source("images", str(tmp_path), patterns, images=12)
    assert source.has_splits


def test_all_folders_are_classes_if_one_is_not_a_split(tmp_path):
    for name in ("train", "test", "car"):
        put(tmp_path / name)
    assert discover(settings(tmp_path)).patterns == {"all": "*/*"}


def test_records_are_found_by_their_pattern(tmp_path):
    (tmp_path / "a.tfrecord-00000-of-00001").touch()
    assert discover(settings(tmp_path)) == Source("tfrecords", str(tmp_path), {"all": "*.tfrecord*"}, images=0)
    (tmp_path / "b.rec").touch()
    assert discover(settings(tmp_path, tfrecord_pattern="*.rec")).patterns == {"all": "*.rec"}


def test_records_may_come_in_ready_splits(tmp_path):
    for name in ("train", "val", "test"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.tfrecord").write_bytes(bytes(16))  # one empty record
    patterns = {"train": "train/*.tfrecord*", "eval": "val/*.tfrecord*", "test": "test/*.tfrecord*"}
    assert discover(settings(tmp_path)) == Source("tfrecords", str(tmp_path), patterns, images=3)


def test_files_created_by_operating_systems_are_ignored(tmp_path):
    put(tmp_path / "cat")
    put(tmp_path / "dog", 1)
    put(tmp_path / ".git", 1)
    put(tmp_path / "__MACOSX", 1)
    (tmp_path / ".DS_Store").touch()
    assert "1 class with fewer than 2 images: dog (1)" in refused(tmp_path)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.jpg"):
        (tmp_path / "dog" / name).touch()
    assert "dog (1)" in refused(tmp_path)
    put(tmp_path / "dog", 2)
    assert discover(settings(tmp_path)).kind == "images"


@pytest.mark.parametrize(
    ("name", "expected"), [(".x", True), ("Thumbs.db", True), ("thumbs.jpg", False), ("__MACOSX", True), ("a", False)]
)
def test_ignored_names(name, expected):
    assert ignored(name) is expected


def test_a_missing_folder_is_an_error(tmp_path):
    assert refused(tmp_path / "absent") == f"the folder of images {tmp_path}/absent does not exist"


def test_a_file_instead_of_a_folder_is_an_error(tmp_path):
    (tmp_path / "photo.jpg").touch()
    assert refused(tmp_path / "photo.jpg") == f"{tmp_path}/photo.jpg is a file, not a folder of images"


@pytest.mark.parametrize("name", ["", "/cat"])
def test_a_folder_without_read_permission_is_an_error(tmp_path, monkeypatch, name):
    put(tmp_path / "cat")
    listed = filesystem.entries

    def entries(path: str) -> list[tuple[str, bool]]:
        if path == f"{tmp_path}{name}":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(
        filesystem, "entries", entries
    )  # instead of by the folder's mode, because root may read everything
    assert refused(tmp_path) == f"{tmp_path}{name} cannot be read: Permission denied"


@pytest.mark.parametrize("name", ["photos [1]", "what?", "a*"])
def test_a_folder_with_glob_characters_is_an_error(tmp_path, name):
    put(tmp_path / name / "cat")
    put(tmp_path / name / "dog")
    assert refused(tmp_path / name).endswith("in its name, which TFX reads as a pattern")


def test_a_wrong_folder_is_reported_without_importing_tensorflow(tmp_path, root):
    program = (
        "import sys\n"
        "from edgetune.modules.core import errors\nfrom edgetune.modules.data import sources\n"
        "from edgetune.modules.settings import run as settings\n"
        "try:\n"
        f"    sources.discover(settings.DataSettings(path={str(tmp_path)!r}))\n"
        "except errors.DataError:\n"
        "    sys.exit('tensorflow' in sys.modules)\n"
        "sys.exit(2)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0


def test_the_error_for_a_folder_without_class_folders_describes_its_content(tmp_path):
    assert f"{tmp_path} has no class folders (nothing inside, and none that matches" in refused(tmp_path)
    put(tmp_path, 3)
    cause = refused(tmp_path, tfrecord_pattern="*.rec")
    assert "3 files directly inside, and none that matches data.tfrecord_pattern *.rec" in cause


def test_a_single_class_is_an_error(tmp_path):
    put(tmp_path / "cat")
    assert refused(tmp_path) == f"{tmp_path} has only one class: cat"


def test_the_error_for_small_classes_names_each_with_its_count(tmp_path):
    for name, count in (("cat", 1), ("dog", 3), ("eel", 2)):
        put(tmp_path / name, count)
    cause = refused(tmp_path, min_examples_per_class=3)
    assert cause == f"{tmp_path} has 2 classes with fewer than 3 images: cat (1), eel (2)"
    put(tmp_path / "cat", 3)
    put(tmp_path / "eel", 3)
    assert discover(settings(tmp_path, min_examples_per_class=3)).kind == "images"


def test_at_most_ten_small_classes_are_named(tmp_path):
    for number in range(12):
        put(tmp_path / f"c{number:02}", 1)
    cause = refused(tmp_path)
    assert "12 classes" in cause and "c09 (1)" in cause and "c10" not in cause


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        (("train", "eval", "val"), " has the splits eval, train, val: one of them twice"),
        (("eval", "test"), " has the splits eval, test and no train"),
    ],
)
def test_splits_that_do_not_fit_together_are_an_error(tmp_path, names, cause):
    for name in names:
        put(tmp_path / name / "cat")
        put(tmp_path / name / "dog")
    assert refused(tmp_path) == f"{tmp_path}{cause}"


def test_the_error_for_a_split_without_a_class_names_both(tmp_path):
    for name in ("train", "eval", "test"):
        put(tmp_path / name / "cat")
        put(tmp_path / name / "dog")
    put(tmp_path / "train" / "eel")
    put(tmp_path / "test" / "eel")
    assert refused(tmp_path) == f"{tmp_path}/eval lacks the classes eel, which other splits have"


def test_small_classes_are_counted_over_all_splits(tmp_path):
    for name in ("train", "eval", "test"):
        put(tmp_path / name / "cat")
        put(tmp_path / name / "dog", 1)
    assert discover(settings(tmp_path, min_examples_per_class=3)).has_splits
    assert "dog (3)" in refused(tmp_path, min_examples_per_class=4)


def test_a_single_class_in_ready_splits_is_an_error(tmp_path):
    for name in ("train", "eval", "test"):
        put(tmp_path / name / "cat")
    assert "only one class: cat" in refused(tmp_path)


def test_a_missing_split_of_records_is_made_from_train_which_must_be_there(tmp_path):
    for name in ("train", "eval", "test"):
        (tmp_path / name).mkdir()
    (tmp_path / "train" / "a.tfrecord").touch()
    (tmp_path / "test" / "a.tfrecord").touch()
    assert discover(settings(tmp_path)).patterns == {"all": "train/*.tfrecord*", "test": "test/*.tfrecord*"}
    (tmp_path / "train" / "a.tfrecord").unlink()
    assert refused(tmp_path).startswith(f"{tmp_path} has no class folders (1 file in folders (.tfrecord)")


@pytest.mark.parametrize(
    ("kind", "images", "size"),
    [
        ("images", 1797, "1,797 files"),
        ("images", 1, "1 file"),
        ("manifest", 1, "1 image"),
        ("tfrecords", 20, "20 images"),
        ("tfrecords", None, "images"),
    ],
)
def test_what_there_is_to_read_is_said_in_words_also_if_its_number_is_unknown(kind, images, size):
    assert Source(kind, "/photos", {}, images).size == size
