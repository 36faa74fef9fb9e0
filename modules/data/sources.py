"""Detect the form of the data before any image is read: class folders, ready splits, TFRecords, or a list.

DIR/<class>/*                      class folders: edgetune splits them
DIR/{train,eval,test}/<class>/*    class folders in ready splits; `val`, `validation` or `dev` may stand for `eval`
DIR/*.tfrecord                     records of tf.Example: edgetune splits them
DIR/{train,eval,test}/*.tfrecord   records in ready splits; or all in DIR, named as by TensorFlow Datasets
LIST.csv, LIST.parquet             list of images with labels and optionally splits, see `modules.data.manifests`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from edgetune.modules.core.errors import DataError
from edgetune.modules.core.wording import counted
from edgetune.modules.data.class_folders import ignored
from edgetune.modules.data.manifests import is_manifest, read_manifest
from edgetune.modules.data.record_count import count_records
from edgetune.modules.data.tfds import class_names, split_patterns
from edgetune.modules.settings.run import DataSettings
from edgetune.modules.storage import filesystem as fs

SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "eval": ("eval", "val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
SPLIT_OF = {alias: split for split, aliases in SPLIT_FOLDERS.items() for alias in aliases}
"""Maps each name that a split may have to the split."""


ALL = "all"
_FOLDER_OR_LIST = "set data.path or --data to the folder, or to a list of images that ends in .csv or .parquet"


@dataclass(frozen=True)
class Source:
    """Location and form of the images."""

    kind: Literal["images", "tfrecords", "manifest"]
    base: str
    """Folder that the patterns are relative to and that contains all files."""
    patterns: dict[str, str]
    """Glob pattern by split, or of the single key `all` if edgetune makes the splits. For a list: `<name>#<split>`."""
    images: int | None = None
    """Number of files, lines or records that should be images; None if it is unknown before they are read."""

    @property
    def has_splits(self) -> bool:
        """Whether the data has its own splits."""
        return set(self.patterns) == set(SPLIT_FOLDERS)

    @property
    def size(self) -> str:
        """What there is to read, in words: of folders the number of files, since not all need be images."""
        if self.images is None:
            return "images"
        return counted(self.images, "file" if self.kind == "images" else "image")


def discover(settings: DataSettings) -> Source:
    """Detect the form of the data in `settings.path`, and reject data that no run could use.

    Raises:
        DataError: The path is missing, neither a folder nor a list, unreadable, or contains glob characters; it has
            neither class folders nor TFRecords, fewer than two classes, a class with fewer files than
            `min_examples_per_class`, or only some of the splits; `modules.data.manifests` rejects the list; or the
            class names cannot be read.
    """
    base = settings.path.rstrip("/") or "/"
    if special := [character for character in "*?[" if character in base]:
        raise DataError(f"{base} has a {special[0]} in its name, which TFX reads as a pattern", "rename the folder")
    if is_manifest(base) and fs.exists(base) and not fs.is_folder(base):
        return _listed(base, settings)
    folders, files = _list(base)
    if (splits := _split_folders(folders, base)) is not None:
        return _ready_splits(base, splits, settings)
    if folders:
        counts = Counter({folder: _count(f"{base}/{folder}") for folder in folders})
        _check_classes(counts, base, settings)
        return Source("images", base, {ALL: "*/*"}, counts.total())
    if records := fs.matching(base, settings.tfrecord_pattern):
        class_names(base, settings.label_feature)  # raises now if they cannot be read
        own = split_patterns((path.rpartition("/")[2] for path in records), SPLIT_OF)
        return Source("tfrecords", base, own or {ALL: settings.tfrecord_pattern}, count_records(records))
    content = f"{counted(len(files), 'file')} directly inside" if files else "nothing inside"
    raise DataError(
        f"{base} has no class folders ({content}, and none that matches data.tfrecord_pattern "
        f"{settings.tfrecord_pattern})",
        "put the images of each class into a folder named after the class: DIR/<class>/*.jpg",
    )


def _list(base: str) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in `base`, sorted, without ignored ones."""
    names = _names(base)
    folders = [name for name in names if fs.is_folder(f"{base}/{name}")]
    return folders, [name for name in names if name not in folders]


def _names(base: str) -> list[str]:
    try:
        if not fs.exists(base):
            raise DataError(f"the folder of images {base} does not exist", "correct data.path or --data")
        if not fs.is_folder(base):
            raise DataError(f"{base} is a file, not a folder of images", _FOLDER_OR_LIST)
        return [name for name in fs.names(base) if name and not ignored(name)]
    except OSError as error:
        raise DataError(f"{base} cannot be read: {error.strerror}", "check the folder and its permissions") from error


def _split_folders(folders: Iterable[str], base: str) -> dict[str, str] | None:
    """Return the folder of each split if all folders are splits; None if they are classes."""
    names = list(folders)
    if not names or any(name not in SPLIT_OF for name in names):
        return None
    found = {SPLIT_OF[name]: name for name in names}
    if len(found) != len(names) or len(found) != len(SPLIT_FOLDERS):
        raise DataError(
            f"{base} has the splits {', '.join(names)}, but train, eval and test are needed, each once",
            "add the missing ones, or arrange all images as DIR/<class>/* and let edgetune split them",
        )
    return found


def _ready_splits(base: str, splits: dict[str, str], settings: DataSettings) -> Source:
    listed = {split: _list(f"{base}/{splits[split]}") for split in SPLIT_FOLDERS}
    if not any(folders for folders, _ in listed.values()):
        return _split_records(base, splits, settings)
    counts = {
        split: Counter({name: _count(f"{base}/{splits[split]}/{name}") for name in folders})
        for split, (folders, _) in listed.items()
    }
    _check_splits(counts, base, {split: f"{base}/{splits[split]}" for split in SPLIT_FOLDERS}, settings)
    images = sum(found.total() for found in counts.values())
    return Source("images", base, {split: f"{splits[split]}/*/*" for split in SPLIT_FOLDERS}, images)


def _split_records(base: str, splits: dict[str, str], settings: DataSettings) -> Source:
    records = {split: fs.matching(f"{base}/{splits[split]}", settings.tfrecord_pattern) for split in SPLIT_FOLDERS}
    if empty := [split for split, found in records.items() if not found]:
        raise DataError(
            f"{base}/{splits[empty[0]]} has no class folders, and no file that matches data.tfrecord_pattern "
            f"{settings.tfrecord_pattern}",
            "put the images of each class into a folder named after the class: DIR/train/<class>/*.jpg",
        )
    patterns = {split: f"{splits[split]}/{settings.tfrecord_pattern}" for split in SPLIT_FOLDERS}
    return Source("tfrecords", base, patterns, count_records(chain.from_iterable(records.values())))


def _listed(path: str, settings: DataSettings) -> Source:
    entries = read_manifest(path, SPLIT_OF, settings.max_list_bytes, settings.max_records)
    base, _, name = path.rpartition("/")
    counts: dict[str, Counter[str]] = {}
    for entry in entries:
        counts.setdefault(entry.split or ALL, Counter())[entry.label] += 1
    if set(counts) <= {ALL}:
        _check_classes(counts.get(ALL, Counter()), path, settings)
    elif missing := [split for split in SPLIT_FOLDERS if split not in counts]:
        raise DataError(
            f"{path} has no line with the split {' and none with '.join(missing)}",
            "add lines for all of train, eval and test, or remove the column split to let edgetune split the images",
        )
    else:
        _check_splits(counts, path, {split: f"the split {split} of {path}" for split in counts}, settings)
    patterns = {split: f"{name}#{split}" for split in (ALL, *SPLIT_FOLDERS) if split in counts}
    return Source("manifest", base or ".", patterns, len(entries))


def _check_splits(counts: dict[str, Counter[str]], base: str, names: dict[str, str], settings: DataSettings) -> None:
    """Check that every class is in all ready splits; `names` has the name of each split for errors."""
    totals: Counter[str] = Counter()
    for found in counts.values():
        totals.update(found)
    for split, found in counts.items():
        if missing := sorted(set(totals) - set(found)):
            raise DataError(
                f"{names[split]} lacks the classes {', '.join(missing)}, which other splits have",
                "every class needs images in train, eval and test; or let edgetune split them",
            )
    _check_classes(totals, base, settings)


def _check_classes(counts: Counter[str], base: str, settings: DataSettings) -> None:
    if not counts:
        raise DataError(f"{base} lists no images", "add one line per image")
    if len(counts) < 2:
        raise DataError(
            f"{base} has only one class: {', '.join(counts)}",
            "a classifier needs at least two; is --data one folder too high?",
        )
    smallest = settings.min_examples_per_class
    small = {name: count for name, count in sorted(counts.items()) if count < smallest}
    if small:
        named = ", ".join(f"{name} ({count})" for name, count in list(small.items())[:10])
        raise DataError(
            f"{base} has {counted(len(small), 'class', 'classes')} with fewer than "
            f"{counted(smallest, 'image')}: {named}",
            "add images, remove the classes, or lower data.min_examples_per_class",
        )


def _count(folder: str) -> int:
    return len(_names(folder))
