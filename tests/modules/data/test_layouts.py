"""Folders as people have them: read, or refused with one sentence and the exact next command; no file is lost."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetune.modules.core.errors import DataError
from edgetune.modules.data import class_folders
from edgetune.modules.data.class_names import similar_classes
from edgetune.modules.data.not_images import not_image, with_hint
from edgetune.modules.data.sources import Source, discover
from edgetune.modules.images.pillow_read import NO_IMAGE
from edgetune.modules.settings.run import DataSettings


def put(base: Path, *folders: str, count: int = 3, kind: str = ".jpg") -> None:
    """Create files of which only names and number matter."""
    for folder in folders:
        (base / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (base / folder / f"{number}{kind}").touch()


def found(base: Path) -> Source:
    return discover(DataSettings(path=str(base), min_examples_per_class=2))


def allowed(base: Path) -> Source:
    return discover(DataSettings(path=str(base), min_examples_per_class=2, allow=("nested_classes",)))


def joined(error: DataError) -> Path:
    """Run the command that joins two levels of folders, and return the new folder."""
    command, _, run = error.remedy.rpartition("read together, ")[2].rpartition(" && edgetune run --data ")
    subprocess.run(["sh", "-c", command], check=True)
    new, *options = shlex.split(run)
    assert options == ["--allow", "nested_classes"]
    return Path(new)


def refused(base: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        found(base)
    assert caught.value.remedy
    return caught.value


def capitals(base: Path) -> None:
    put(base, "Training/a", "Training/b", "Testing/a", "Testing/b")


def with_other_things(base: Path) -> None:
    put(base, "train/a", "train/b", "valid/a", "valid/b", "test/a", "test/b")
    put(base, "runs/detect")
    put(base, "labels", kind=".txt")
    put(base, "models", kind=".h5")
    (base / "README.roboflow.txt").touch()
    (base / "sample.jpg").touch()


def one_too_deep(base: Path) -> None:
    put(base, "archive/images/a", "archive/images/b")
    put(base, "archive", kind=".md")


def recursive(base: Path) -> None:
    put(base, "a/2023", "a/2024/may", "b/2023", "b")
    put(base, "a/2023", kind=".xml")


def unlabelled_test(base: Path) -> None:
    put(base, "train/a", "train/b", "test")


def one_made_up_class(base: Path) -> None:
    put(base, "train/a", "train/b", "val/a", "val/b", "test/unknown")


def all_kinds(base: Path) -> None:
    put(base, "a", "b", "a/.ipynb_checkpoints")
    for kind in (".jfif", ".jpe", ".jxl", ".dng", ".svg", ".txt", ""):
        put(base, ".", "a", count=1, kind=kind)
    put(base, ".git/objects", count=2, kind="")
    (base / "labels").mkdir()


def of_kaggle(base: Path) -> None:
    put(base, "seg_train/seg_train/a", "seg_train/seg_train/b", "seg_test/seg_test/a", "seg_test/seg_test/b")
    put(base, "seg_pred/seg_pred")


def sets(base: Path) -> None:
    put(base, "training_set/a", "training_set/b", "test_set/a", "test_set/b", "valid-data/a", "valid-data/b")


LAYOUTS: dict[Callable[[Path], None], tuple[dict[str, str], str]] = {
    capitals: ({"all": "Training/*/*", "test": "Testing/*/*"}, "there is no split eval: it is made from Training"),
    with_other_things: (
        {"train": "train/*/*", "eval": "valid/*/*", "test": "test/*/*"},
        "left out beside the splits: labels, models, runs",
    ),
    one_too_deep: ({"all": "archive/images/*/*"}, "the class folders are in archive/images"),
    recursive: ({"all": "*/*"}, "images in folders inside a class folder are of that class: a/2023, a/2024, b/2023"),
    of_kaggle: (
        {"all": "seg_train/seg_train/*/*", "test": "seg_test/seg_test/*/*"},
        "left out beside the splits: seg_pred",
    ),
    sets: ({"train": "training_set/*/*", "eval": "valid-data/*/*", "test": "test_set/*/*"}, ""),
    unlabelled_test: ({"all": "train/*/*"}, "3 images in test are left out"),
    one_made_up_class: ({"all": "train/*/*", "eval": "val/*/*"}, "3 images in test are left out"),
    all_kinds: ({"all": "*/*"}, "left out, without images: labels"),
}


@pytest.mark.parametrize("make", LAYOUTS)
def test_a_layout_is_read_and_what_was_assumed_is_said(tmp_path, make):
    make(tmp_path)
    patterns, note = LAYOUTS[make]
    source = found(tmp_path)
    assert source.patterns == patterns
    assert any(said.startswith(note) for said in source.notes) if note else not source.notes


def every_file(base: Path) -> tuple[list[str], list[str]]:
    """Return the paths of the files of classes, and of the others."""
    patterns = found(base).patterns.values()
    paths: list[str] = []
    for pattern in patterns:
        for folder in class_folders.class_folders(f"{base}/{pattern}".removesuffix("/*/*"), str(base)):
            paths += class_folders.files(folder, str(base))
    return paths, [other.path for other in class_folders.others(str(base), patterns)]


@pytest.mark.parametrize("make", LAYOUTS)
def test_every_file_under_the_folder_is_in_exactly_one_class_folder_or_one_of_the_others(tmp_path, make):
    make(tmp_path)
    of_classes, others = every_file(tmp_path)
    assert sorted(of_classes + others) == sorted(f"{at}/{name}" for at, _, names in os.walk(tmp_path) for name in names)


def test_what_is_beside_the_splits_is_left_out_and_an_image_without_a_class_is_rejected(tmp_path):
    with_other_things(tmp_path)
    others = list(class_folders.others(str(tmp_path), found(tmp_path).patterns.values()))
    aside = {other.path for other in others if other.set_aside}
    assert aside == {f"{tmp_path}/runs/detect/{number}.jpg" for number in range(3)}
    assert [o.path for o in others if not o.kind and not o.set_aside] == [f"{tmp_path}/sample.jpg"]


def test_only_what_is_read_or_could_be_makes_a_run_another_one(tmp_path):
    with_other_things(tmp_path)
    put(tmp_path, ".git", "train/a/.cache", count=1)
    patterns = found(tmp_path).patterns.values()
    paths = {path.removeprefix(f"{tmp_path}/") for path in class_folders.all_entries(str(tmp_path), patterns)}
    classes = {f"{split}/{name}" for split in ("train", "valid", "test") for name in "ab"}
    assert paths == {"sample.jpg", *(f"{folder}/{number}.jpg" for folder in classes for number in range(3))}


def test_a_missing_split_needs_every_class_in_the_others(tmp_path):
    put(tmp_path, "train/a", "train/b", "test/a", "test/c")
    assert refused(tmp_path).cause.endswith("/train lacks the classes c, which other splits have")
    put(tmp_path, "train/C")
    assert "the classes 'C' and 'c' have names that differ only by capitals" in refused(tmp_path).cause


def test_folders_without_images_are_no_classes_whatever_their_names_unless_another_split_has_them(tmp_path):
    flat, split = tmp_path / "flat", tmp_path / "split"
    for base in (flat, split / "train", split / "test"):
        put(base, "a", "b")
        put(base, "output", kind=".tflite")
        put(base, "notes", count=1, kind=".txt")
        (base / "unlabelled").mkdir()
    for base in (flat, split):
        source = found(base)
        assert "left out, without images: notes, output, unlabelled" in source.notes
        assert source.images == (6 if base == flat else 12)
        of_classes, others = every_file(base)
        assert len(of_classes + others) == sum(len(names) for _, _, names in os.walk(base))
    put(split, "train/unlabelled")
    assert refused(split).cause.endswith("/test lacks the classes unlabelled, which other splits have")


def test_archives_that_may_have_images_are_said(tmp_path):
    put(tmp_path, "a", "b")
    (tmp_path / "a" / "more.zip").touch()
    assert found(tmp_path).notes == ("images may be in a/more.zip, which are not read: unpack them",)
    (tmp_path / "all.tar.gz").touch()
    assert found(tmp_path).notes == (
        "images may be in all.tar.gz and 1 other archive, which are not read: unpack them",
    )


def linked(link: Path, to: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(to)


def test_links_to_folders_are_followed_by_all_that_count_files_unless_they_lead_up_or_are_behind_a_link(tmp_path):
    base, store = tmp_path / "data", tmp_path / "store"
    put(base, "a", "b")
    put(store, "more", "more/deep", "class")
    linked(store / "more" / "behind", store / "class")
    linked(base / "a" / "more", store / "more")
    linked(base / "c", store / "class")
    linked(base / "a" / "up", base)
    linked(base / "a" / "self", base / "a")
    linked(base / "b" / ".hidden" / "more", store / "more")
    of_classes, others = every_file(base)
    names = {path.removeprefix(f"{base}/") for path in of_classes}
    folders = ("a", "b", "c", "a/more", "a/more/deep")
    images = {f"{folder}/{number}.jpg" for folder in folders for number in range(3)}
    assert names == images | {"a/more/behind", "a/up", "a/self"}
    assert others == [f"{base}/b/.hidden/more"]
    assert found(base).images == len(images)


def test_behind_a_linked_split_no_link_is_a_class(tmp_path):
    put(tmp_path, "v1/train/a", "v1/train/b", "extra/c")
    linked(tmp_path / "v1" / "train" / "c", tmp_path / "extra" / "c")
    put(tmp_path / "data", "test/a", "test/b")
    linked(tmp_path / "data" / "train", tmp_path / "v1" / "train")
    of_classes, others = every_file(tmp_path / "data")
    assert found(tmp_path / "data").images == len(of_classes) == 12
    assert others == [f"{tmp_path}/data/train/c"]


def test_folders_deeper_than_the_bound_are_refused_by_name_and_none_is_left_out(tmp_path):
    put(tmp_path, "b", "a/" + "/".join("d" * 40))
    assert found(tmp_path).images == len(every_file(tmp_path)[0]) == 6
    put(tmp_path, "a/" + "/".join("d" * class_folders.MAX_DEPTH), count=1)
    error = refused(tmp_path)
    assert error.cause == f"{tmp_path}/a/{'/'.join('d' * class_folders.MAX_DEPTH)} is more than 64 folders deep"


def test_links_beside_the_splits_are_followed_by_the_same_rule(tmp_path):
    capitals(tmp_path / "data")
    put(tmp_path / "store", ".", count=2)
    linked(tmp_path / "data" / "all", tmp_path)
    linked(tmp_path / "data" / "raw", tmp_path / "store")
    others = list(class_folders.others(f"{tmp_path}/data", found(tmp_path / "data").patterns.values()))
    assert [(other.path.rpartition("data/")[2], other.kind, other.set_aside) for other in others] == [
        ("all", "a link to a folder", False),
        ("raw/0.jpg", "", True),
        ("raw/1.jpg", "", True),
    ]


def flat_splits(base: Path) -> None:
    put(base, "train", "test")


def split_or_class(base: Path) -> None:
    put(base, "train/steam", "train/diesel", "car")


def splits_in_classes(base: Path) -> None:
    put(base, "a/train", "a/test", "b/train", "b/test")


def coco(base: Path) -> None:
    put(base, "train2017", "val2017")
    (base / "annotations").mkdir()
    document = json.dumps({"images": [{"file_name": "0.jpg"}], "annotations": [], "categories": []})
    (base / "annotations" / "instances_train2017.json").write_text(document)


def coco_of_roboflow(base: Path) -> None:
    put(base, "train", "valid", "test")
    (base / "train" / "_annotations.coco.json").write_text('{"images": [], "annotations": [], "categories": []}')


def voc(base: Path) -> None:
    put(base, "VOC2012/JPEGImages")
    put(base, "VOC2012/Annotations", kind=".xml")
    put(base, "VOC2012/ImageSets/Main", kind=".txt")


def yolo(base: Path) -> None:
    put(base, "images/train", "images/val")
    put(base, "labels/train", "labels/val", kind=".txt")


def labelme(base: Path) -> None:
    put(base, ".")
    (base / "0.json").write_text('{"version": "5.0", "shapes": [], "imagePath": "0.jpg"}')


def zipped(base: Path) -> None:
    (base / "my photos.zip").touch()


def with_a_list(base: Path) -> None:
    put(base, ".")
    (base / "metadata.csv").write_text("file_name,label\n0.jpg,oak\n")


@pytest.mark.parametrize(
    ("make", "cause", "remedy"),
    [
        (flat_splits, "nothing says of which class an image is", "DIR/train/<class>/*.jpg"),
        (split_or_class, "so it may be a split", "--data {base}/train"),
        (splits_in_classes, "has the splits inside of the class folders, such as a/test", "a list with the columns"),
        (coco, "in the form of COCO", "--data {base}/list.csv"),
        (coco_of_roboflow, "in the form of COCO", "--data {base}/list.csv"),
        (voc, "in the form of Pascal VOC", "--data {base}/list.csv"),
        (yolo, "in the form of YOLO", "--data {base}/list.csv"),
        (labelme, "in the form of LabelMe", "--data {base}/list.csv"),
        (zipped, "has 1 archive, such as my photos.zip", "unzip -q '{base}/my photos.zip' -d '{base}/my photos'"),
        (with_a_list, "metadata.csv may be a list of its images", "--data {base}/metadata.csv"),
    ],
)
def test_what_is_not_read_is_called_by_its_name_with_the_next_command(tmp_path, make, cause, remedy):
    make(tmp_path)
    error = refused(tmp_path)
    assert cause in error.cause
    assert remedy.format(base=tmp_path) in error.remedy


@pytest.mark.parametrize(
    ("folders", "above", "inside", "rename"),
    [
        (
            "flowers_train/a flowers_train/b flowers_test/a flowers_test/b",
            "flowers_test",
            "a",
            "mv {}/flowers_train {}/train",
        ),
        ("my_train/my_train/A my_train/my_train/B my_test/my_test", "my_train", "A", "mv {}/my_test {}/test"),
        ("training_samples/a training_samples/b evaluation/a evaluation/b", "evaluation", "a", "mv {}/FOLDER {}/test"),
        ("tr/a tr/b te/a te/b", "te", "a", "mv {}/FOLDER {}/train"),
        ("fold0/a fold0/b fold1/a fold1/b fold2/a fold2/b", "fold0", "a", "mv {}/FOLDER {}/eval"),
        ("2020/a 2020/b 2021/a 2021/b 2022/b", "2020", "a", "mv {}/FOLDER {}/train"),
        ("original/a original/b augmented/a augmented/b", "augmented", "a", "mv {}/FOLDER {}/train"),
        ("rgb/a rgb/b masks/a masks/b", "masks", "a", "mv {}/FOLDER {}/train"),
        ("x/data/rgb/a x/data/rgb/b x/data/masks/a x/data/masks/b", "x/data/masks", "a", "mv {}/x/data/FOLDER"),
    ],
)
def test_two_levels_that_may_be_the_classes_are_refused_with_a_command_for_each(
    tmp_path, folders, above, inside, rename
):
    put(tmp_path, *folders.split())
    error = refused(tmp_path)
    assert "could mean two things" in error.cause and f"{inside}, " in error.cause
    assert rename.format(tmp_path, tmp_path) in error.remedy
    assert f"edgetune run --data {tmp_path}/{above}" in error.remedy
    assert ("read together" in error.remedy) is (above != "my_train")  # which has no folders of classes in my_test
    assert "--allow nested_classes" in error.remedy
    assert allowed(tmp_path).images == sum(len(files) for _, _, files in os.walk(tmp_path))


def test_the_command_that_joins_two_levels_gives_the_classes_of_the_inner_one(tmp_path):
    base = tmp_path / "it's"
    put(base, "fold 0/a", "fold 0/b", "fold1/a", "fold1/b")
    new = joined(refused(base))
    assert (allowed(new).patterns, allowed(new).images) == ({"all": "*/*"}, 12)
    assert {str(path.relative_to(new)) for path in new.glob("*/*")} == {"a/fold 0", "a/fold1", "b/fold 0", "b/fold1"}


def test_two_levels_inside_of_splits_are_refused_too(tmp_path):
    put(
        tmp_path,
        *(f"{split}/{time}/{kind}" for split in ("train", "test") for time in ("day", "night") for kind in "ab"),
    )
    error = refused(tmp_path)
    assert "/train could mean two things: that day, night are the classes" in error.cause
    source = allowed(joined(error))
    assert (source.patterns, source.images) == ({"all": "train/*/*", "test": "test/*/*"}, 24)


@pytest.mark.parametrize(
    "folders",
    ["a/images b/images", "a/x a/y b/z b/w", "a/x a/y b", "train_station/x test_tube", "a/2023 a/2024 b/2023 c d"],
)
def test_class_folders_with_other_folders_inside_are_classes(tmp_path, folders):
    put(tmp_path, *folders.split())
    assert found(tmp_path).patterns == {"all": "*/*"}


def test_the_list_of_train_is_proposed_and_never_a_sample_of_what_to_hand_in(tmp_path):
    put(tmp_path, "train", "test")
    for name in ("a_sample_submission.csv", "test.csv", "other.csv", "train.csv"):
        (tmp_path / name).touch()
    assert f"--data {tmp_path}/train.csv; or" in refused(tmp_path).remedy
    (tmp_path / "train.csv").unlink()
    assert f"--data {tmp_path}/other.csv; or" in refused(tmp_path).remedy
    for name in ("test.csv", "other.csv"):
        (tmp_path / name).unlink()
    assert ".csv" not in refused(tmp_path).remedy


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("photos.zip", "unzip -q {path} -d {folder} && edgetune run --data {folder}"),
        ("photos.tar.gz", "mkdir -p {folder} && tar -xf {path} -C {folder} && edgetune run --data {folder}"),
    ],
)
def test_an_archive_is_refused_with_the_command_that_unpacks_it(tmp_path, name, command):
    (tmp_path / name).touch()
    assert command.format(path=tmp_path / name, folder=tmp_path / "photos") in refused(tmp_path / name).remedy


def test_a_folder_too_deep_names_the_one_above(tmp_path):
    put(tmp_path, "cat", "dog")
    error = refused(tmp_path / "cat")
    assert "the folder above has folders of images" in error.cause and error.remedy.endswith(f"--data {tmp_path}")


def test_a_list_beside_one_folder_of_images_is_named(tmp_path):
    put(tmp_path, "images")
    (tmp_path / "list.csv").touch()
    error = refused(tmp_path)
    assert error.cause.endswith("has only one class: images")
    assert error.remedy.endswith(f"run edgetune with --data {tmp_path}/list.csv")


def test_files_that_are_not_called_as_images_are_counted(tmp_path):
    put(tmp_path, "cat", "dog", kind=".xyz")
    assert "(6 files in folders (.xyz), none called as an image, and none that" in refused(tmp_path).cause
    put(tmp_path, ".", count=1, kind=".txt")
    assert "(1 file directly inside and 6 files in folders (.xyz), none called" in refused(tmp_path).cause


def test_images_whose_names_begin_with_their_class_are_sorted_by_the_command(tmp_path):
    base, other = tmp_path / "it's flat", tmp_path / "other"
    put(other, ".")
    base.mkdir()
    for number in range(3):
        for name in ("cat", "dog"):
            (base / f"{name}.{number}.jpg").touch()
    command, _, run = refused(base).remedy.partition("into a folder: ")[2].partition(" && edgetune run ")
    subprocess.run(["sh", "-c", command], check=True)
    assert shlex.split(run) == ["--data", str(base)]
    assert found(base).images == 6
    assert "begin with their class" not in refused(other).cause


def test_json_and_spreadsheets_are_called_by_their_name(tmp_path):
    (tmp_path / "labels.json").write_text('{"images": [], "annotations": [], "categories": []}')
    assert "is COCO, which is not read" in refused(tmp_path / "labels.json").cause
    (tmp_path / "labels.xlsx").touch()
    assert refused(tmp_path / "labels.xlsx").remedy.startswith("save it as CSV")


def test_class_names_that_differ_by_capitals_blanks_or_encoding_are_a_finding():
    accented = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    findings = similar_classes(["Cat", "cat", "cat ", "dog", *accented])
    assert [finding.name for finding in findings] == ["similar_classes"] * 2
    assert "'Cat' and 'cat' and 'cat '" in findings[0].cause and r"'caf\xe9'" in findings[1].cause
    assert similar_classes(["cat", "cats", "dog"]) == []


def test_only_a_file_with_neither_the_name_nor_the_content_of_an_image_is_not_an_image():
    unknown = f"{NO_IMAGE} (JPEG)"
    assert not_image("a/notes.TXT", unknown) == ".txt" and not_image("a/label.txt", "the file is empty") == ".txt"
    assert not_image("a/film.mp4", "a video, not an image") == ".mp4"
    assert not_image("a/photo.dat", "damaged: cut short") is None
    assert all(not_image(name, unknown) is None for name in ("a/1.JPG", "a/1.jxl", "a/0001", "a/1.dng"))
    assert with_hint("a/1.nef", unknown).endswith("; a .nef file: convert it to JPEG or PNG")
    assert with_hint("a/1.jpg", unknown) == unknown
