"""Find class folders and splits in a folder as people have it, by the names and the places of its files alone.

    DIR/<class>/**                       class folders, with any folders inside
    DIR/{Train,Valid,Test}/<class>/**    splits, in any capitals; one of eval and test may be missing
    DIR/images/<class>/**                either of them in a single folder, up to `MAX_PREFIX` deep

Other folders beside the splits are set aside, and said. What could mean two things is refused with the exact next
command, and never guessed.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgetune.modules.core.errors import DataError
from edgetune.modules.core.wording import counted
from edgetune.modules.data.class_folders import MAX_DEPTH, ending, ignored, is_followed, is_link, may_be_image
from edgetune.modules.storage import filesystem

SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "eval": ("eval", "val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing"),
}
SPLIT_OF = {alias: split for split, aliases in SPLIT_FOLDERS.items() for alias in aliases}
"""Maps each name that a split may have, in lower case, to the split."""
ALL = "all"
"""Key of the images that edgetune divides: all, or those of the train folder if it has to make eval or test."""
MAX_PREFIX = 4
_NAMED = 5
_FILLERS = ("data", "dataset", "images", "img", "imgs", "seg", "set", "split")
"""What is put before or after the name of a split: `seg_train`, `test_images`, `training_set`."""


@dataclass(frozen=True)
class Folder:
    """What is in a folder, without hidden names."""

    name: str
    path: str
    files: tuple[str, ...] = ()
    """Names of the files directly inside that are no images by their names; the first `_KEPT` of them."""
    count: int = 0
    """Number of files directly inside."""
    images: int = 0
    """Number of files directly inside that may be images by their names."""
    folders: tuple[Folder, ...] = ()

    @property
    def total_images(self) -> int:
        """Number of files at any depth that may be images by their names."""
        return self.images + sum(folder.total_images for folder in self.folders)


@dataclass(frozen=True)
class Layout:
    """Class folders of each split."""

    patterns: dict[str, str]
    """Glob pattern of the files by split, relative to the folder; `all` for what edgetune divides."""
    counts: dict[str, Counter[str]]
    """Number of files that may be images, by split and class."""
    parents: tuple[Folder, ...]
    """The folders that have the class folders inside: one, or one of each split."""
    notes: tuple[str, ...] = field(default=())
    """What was set aside or assumed, one sentence each."""


_KEPT = 1000


def tree(path: str, depth: int = 0, behind: bool = False) -> Folder:
    """Return what is in a folder and all folders inside; links are followed as `class_folders.is_followed` says.

    Raises:
        OSError: A folder cannot be listed.
        DataError: Folders are nested deeper than `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise DataError(f"{path} is more than {MAX_DEPTH} folders deep", "move it up, or out of the data's folder")
    folders: list[Folder] = []
    others: list[str] = []
    count = images = 0
    for name, is_folder in filesystem.entries(path):
        if ignored(name):
            continue
        below = f"{path}/{name}"
        if is_folder and is_followed(below, behind):
            folders.append(tree(below, depth + 1, behind or is_link(below)))
            continue
        count += 1
        if may_be_image(name) and not is_folder:
            images += 1
        elif len(others) < _KEPT:
            others.append(name)
    return Folder(path.rpartition("/")[2], path, tuple(others), count, images, tuple(folders))


def find(root: Folder) -> Layout | None:
    """Return the class folders in a folder; None if it has no folder with images.

    Raises:
        DataError: What is there could mean two things, or lacks labels.
    """
    prefix, folder, notes = _descend(root)
    with_images = [inside for inside in folder.folders if inside.total_images]
    if not with_images:
        return None
    splits = [inside for inside in with_images if split_named(inside.name)]
    splits = [down(split) for split in splits]
    labelled = _without_one_made_up_class([split for split in splits if _has_classes(split)])
    beside = [inside for inside in folder.folders if inside not in with_images or not split_named(inside.name)]
    if not labelled:
        if len(splits) > 1 and len(splits) == len(with_images):
            raise DataError(
                f"{folder.path} has the splits {_names(splits)}, with images directly inside and no class folders: "
                "nothing says of which class an image is",
                _list_remedy(root, "put the images of each class into a folder of its own: DIR/train/<class>/*.jpg"),
            )
        return _classes(root, folder, prefix, notes)
    if len(labelled) == 1 and (rivals := [inside for inside in beside if inside.total_images]):
        raise DataError(
            f"{folder.path}/{labelled[0].name} has class folders, so it may be a split, and beside it are folders of "
            f"images, {_names(rivals)}, so it may be a class",
            f"if it is the split, run edgetune with --data {shlex.quote(labelled[0].path)}; if it is a class, rename "
            "it, or move its images out of the folders inside it",
        )
    return _splits(folder, prefix, notes, labelled, [s for s in splits if s not in labelled], beside)


def _descend(root: Folder) -> tuple[str, Folder, list[str]]:
    """Go into the only folder with images, as long as it has folders of images itself."""
    folder, prefix, notes = root, "", []
    for _ in range(MAX_PREFIX):
        inside = [below for below in folder.folders if below.total_images]
        # With images directly inside too, it is one class that has folders inside.
        if len(inside) != 1 or folder.images or inside[0].images:
            break
        folder, prefix = inside[0], f"{prefix}{inside[0].name}/"
    if prefix:
        notes.append(f"the class folders are in {prefix.rstrip('/')}, the only folder with images")
    return prefix, folder, notes


def down(split: Folder) -> Folder:
    """Return the folder inside a split that has its class folders, as in `train/train/<class>`, named by its path."""
    inside = split
    for _ in range(MAX_PREFIX):
        below = [folder for folder in inside.folders if folder.total_images]
        if len(below) != 1 or inside.images or below[0].images or len(below[0].folders) < 2:
            break
        inside = replace(below[0], name=f"{inside.name}/{below[0].name}")
    return inside


def _split(folder: Folder) -> str | None:
    return split_named(folder.name.partition("/")[0])


def _has_classes(split: Folder) -> bool:
    return any(inside.total_images for inside in split.folders) and not split.images > split.total_images / 2


def _without_one_made_up_class(splits: Sequence[Folder]) -> list[Folder]:
    """Return the splits without those whose only folder no other split has: test/unknown/*, test/test/*."""
    names = {split.path: _class_names(split) for split in splits}
    return [
        split
        for split in splits
        if len(names[split.path]) > 1
        or len(splits) == 1
        or any(names[split.path] & names[other.path] for other in splits if other is not split)
    ]


def _class_names(split: Folder) -> set[str]:
    return {inside.name for inside in split.folders if inside.total_images}


def _classes(root: Folder, folder: Folder, prefix: str, notes: list[str]) -> Layout:
    by_class = {
        inside.name: {below.name for below in inside.folders if below.total_images} for inside in folder.folders
    }
    own = [{name.lower() for name in names} for names in by_class.values() if names]
    if len(own) > 1 and len(own) == len(by_class) and all(names <= set(SPLIT_OF) for names in own):
        first = next(iter(by_class))
        raise DataError(
            f"{folder.path} has the splits inside of the class folders, such as {first}/{min(by_class[first])}",
            f"move them: {folder.path}/{min(by_class[first])}/{first}/*.jpg; "
            + _list_remedy(root, "or write a list with the columns path, label and split"),
        )
    if nested := [f"{name}/{below}" for name, names in by_class.items() for below in sorted(names)]:
        named = ", ".join(nested[:_NAMED]) + (f" and {len(nested) - _NAMED} more" if len(nested) > _NAMED else "")
        notes.append(f"images in folders inside a class folder are of that class: {named}")
    counts = Counter({inside.name: inside.total_images for inside in folder.folders})
    notes += _without_images([counts])
    return Layout({ALL: f"{prefix}*/*"}, {ALL: counts}, (folder,), tuple(notes))


def _splits(
    folder: Folder,
    prefix: str,
    notes: list[str],
    labelled: Sequence[Folder],
    unlabelled: Sequence[Folder],
    beside: Sequence[Folder],
) -> Layout:
    found = {name: split for split in labelled if (name := _split(split))}
    if len(found) != len(labelled):
        raise DataError(
            f"{folder.path} has the splits {_names(labelled)}: one of them twice",
            "keep each of train, eval and test once",
        )
    for split in unlabelled:
        kind = _split(split)
        if kind in found or kind == "train":
            raise DataError(
                f"{split.path} has images and no class folders, beside {_names(labelled)}",
                "put its images into class folders, or move it to another place",
            )
        notes.append(
            f"{counted(split.total_images, 'image')} in {prefix}{split.name} are left out: no class folders say of "
            "which class they are"
        )
    if "train" not in found:
        raise DataError(
            f"{folder.path} has the splits {_names(labelled)} and no train",
            f"add {folder.path}/train/<class>/*, or arrange all images as DIR/<class>/* and let edgetune split them",
        )
    if aside := [inside.name for inside in beside]:
        notes.append(f"left out beside the splits: {', '.join(sorted(aside))}")
    missing = [split for split in SPLIT_FOLDERS if split not in found]
    if missing:
        notes.append(made_from_train(missing, found["train"].name))
    keys = {split: ALL if split == "train" and missing else split for split in SPLIT_FOLDERS if split in found}
    patterns = {key: f"{prefix}{found[split].name}/*/*" for split, key in keys.items()}
    counts = {key: Counter({c.name: c.total_images for c in found[split].folders}) for split, key in keys.items()}
    notes += _without_images(list(counts.values()))
    return Layout(patterns, counts, tuple(found[split] for split in keys), tuple(notes))


def _without_images(counts: Sequence[Counter[str]]) -> Iterator[str]:
    """Remove folders that have no image in any split, which are not classes, and yield a note about them."""
    empty = sorted(name for name in set().union(*counts) if not any(found[name] for found in counts))
    for found in counts:
        for name in empty:
            del found[name]
    if empty:
        yield f"left out, without images: {', '.join(empty)}"


def made_from_train(missing: Sequence[str], train: str) -> str:
    """Return the note that splits are missing and are made from another one."""
    them = "it is" if len(missing) == 1 else "they are"
    return f"there is no split {' and no '.join(missing)}: {them} made from {train}, by data.splits"


def split_named(name: str) -> str | None:
    """Return the split that a folder has by its name, such as `Training`, `val2017` or `test_set`; None if of none."""
    words = [word for word in re.split(r"[\W_\d]+", name.lower()) if word and word not in _FILLERS]
    whole = words[0].removesuffix("set") if len(words) == 1 else ""
    return SPLIT_OF.get(whole)


def split_of_words(name: str) -> str | None:
    """Return the split that is one of the words of a name, such as `flowers_train`; None if none or several are."""
    found = {SPLIT_OF[word] for word in re.split(r"[\W_\d]+", name.lower()) if word in SPLIT_OF}
    return found.pop() if len(found) == 1 else None


def walk(folder: Folder) -> Iterator[Folder]:
    """Yield a folder and all folders inside."""
    yield folder
    for inside in folder.folders:
        yield from walk(inside)


def lists(root: Folder) -> list[str]:
    """Return the paths of files directly in a folder that may be lists of images, that of train or of labels first.

    A sample of what to hand in, as Kaggle adds, has classes that are made up, and is left out.
    """
    found = [name for name in root.files if ending(name) in (".csv", ".tsv", ".parquet", ".pq")]
    named = [name for name in found if "submission" not in name.lower()]
    return [f"{root.path}/{name}" for name in sorted(named, key=_rank)]


def _rank(name: str) -> int:
    split = split_of_words(name.rpartition(".")[0])
    return 0 if split == "train" else 3 if split else 1 if "label" in name.lower() else 2


def _list_remedy(root: Folder, otherwise: str) -> str:
    if found := lists(root):
        return f"if a list has the classes, run edgetune with --data {shlex.quote(found[0])}; or {otherwise}"
    return otherwise


def _names(folders: Sequence[Folder]) -> str:
    return ", ".join(folder.name for folder in folders)


def splits_of(counts: Mapping[str, object]) -> list[str]:
    """Return the splits that edgetune makes, if `counts` has these keys: of all images, or of those of `all`."""
    return [split for split in SPLIT_FOLDERS if split not in counts] if ALL in counts else []
