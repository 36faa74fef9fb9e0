"""Say what a path is that is neither class folders, nor TFRecords, nor a list, and the exact next command."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator

from edgetune.modules.core.errors import DataError
from edgetune.modules.core.wording import counted
from edgetune.modules.data.class_folders import IMAGE_ENDINGS, ending, ignored
from edgetune.modules.data.layouts import Folder, Layout, lists, split_named, walk
from edgetune.modules.storage import filesystem

_UNPACK = {
    ".zip": "unzip -q {file} -d {folder}",
    ".7z": "7z x {file} -o{folder}",
    ".rar": "unrar x {file} {folder}/",
    **dict.fromkeys(
        (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"),
        "mkdir -p {folder} && tar -xf {file} -C {folder}",
    ),
}
_HEAD = 1 << 20
_COCO = re.compile(r'"(annotations|categories)"\s*:')
_LABELME = re.compile(r'"(shapes|imagePath)"\s*:')
_WORD_AND_NUMBER = re.compile(r"([^\W\d_]+)[._-]\d+\.\w+")
_MOST_WORDS, _EACH = 20, 2
_A_LIST = "path,label"


def of_file(path: str) -> DataError:
    """Return the error for a file that is not a list of images."""
    if unpack := _unpack(path):
        return DataError(f"{path} is an archive, and folders are read", unpack)
    kind = ending(path)
    if kind in (".json", ".jsonl", ".ndjson"):
        what = _json_form(path)
        return DataError(f"{path} is {what or 'JSON'}, which is not read", _write_list(path.rpartition("/")[0] or "."))
    if kind in (".xlsx", ".xls", ".ods", ".numbers"):
        return DataError(f"{path} is a spreadsheet", "save it as CSV, with a column for the file and one for the class")
    if kind in (".yaml", ".yml"):
        return DataError(
            f"{path} is a YAML file, not images", f"if it is a configuration, run edgetune with --config {_q(path)}"
        )
    return DataError(
        f"{path} is a file, not a folder of images",
        "set data.path or --data to the folder, or to a list of images that ends in .csv, .tsv or .parquet",
    )


def of_annotations(root: Folder) -> DataError | None:
    """Return the error for a folder whose labels are in annotations, of COCO, Pascal VOC, YOLO or LabelMe, by name.

    None if it has no such annotations.
    """
    if (found := _annotations(root)) is None:
        return None
    return DataError(
        f"{root.path} is a data set in the form of {found}: its labels are of boxes or masks in an image, and a "
        "classifier needs one class for an image",
        "sort the images, or what is cut out of them, into DIR/<class>/*.jpg; or " + _write_list(root.path),
    )


def of_folder(root: Folder, pattern: str) -> DataError:
    """Return the error for a folder without class folders and records.

    Args:
        root: What is in it.
        pattern: `data.tfrecord_pattern`.
    """
    if found := of_annotations(root):
        return found
    if archives := [name for name in root.files if _unpack(name)]:
        return DataError(
            f"{root.path} has {counted(len(archives), 'archive')}, such as {archives[0]}, and no images",
            _unpack(f"{root.path}/{archives[0]}") or "",
        )
    if found_lists := lists(root):
        return DataError(
            f"{root.path} has no class folders; {found_lists[0]} may be a list of its images",
            f"run edgetune with --data {_q(found_lists[0])}",
        )
    below = sum(folder.count for folder in walk(root)) - root.count
    flat = " and ".join(
        f"{counted(number, 'file')} {where}"
        for number, where in (
            (root.count, "directly inside"),
            (below, f"in folders{_kind(root)}, none called as an image"),
        )
        if number
    )
    flat = flat or "nothing inside"
    cause = f"{root.path} has no class folders ({flat}, and none that matches data.tfrecord_pattern {pattern})"
    if commands := _by_first_word(root):
        return DataError(
            f"{cause}; the names of the files may begin with their class",
            f"if they do, put each class into a folder: {commands} && edgetune run --data {_q(root.path)}",
        )
    if root.images and (parent := _parent_of_classes(root.path)):
        return DataError(f"{cause}; the folder above has folders of images", f"run edgetune with --data {_q(parent)}")
    return DataError(cause, "put the images of each class into a folder named after the class: DIR/<class>/*.jpg")


def _kind(root: Folder) -> str:
    """Return the most common ending in folders inside, as an example."""
    kinds = Counter(ending(name) for folder in walk(root) if folder is not root for name in folder.files)
    return f" ({kinds.most_common(1)[0][0]})" if kinds else ""


def _by_first_word(root: Folder) -> str:
    """Return the commands that sort images such as `cat.0.jpg`, `dog_1.jpg` into folders; nothing for other names."""
    if filesystem.is_remote(root.path) or root.folders:
        return ""
    images = [name for name in filesystem.names(root.path) if ending(name) in IMAGE_ENDINGS and not ignored(name)]
    words = Counter(found[1] for name in images if (found := _WORD_AND_NUMBER.fullmatch(name)))
    if not 1 < len(words) <= _MOST_WORDS or words.total() < len(images) or min(words.values()) < _EACH:
        return ""
    return " && ".join(
        f"mkdir {_q(f'{root.path}/{word}')} && find {_q(root.path)} -maxdepth 1 -type f -name {_q(f'{word}[._-]*')} "
        f"-exec mv {{}} {_q(f'{root.path}/{word}')}/ \\;"
        for word in sorted(words)
    )


def list_beside(root: Folder, layout: Layout, error: DataError) -> DataError | None:
    """Return the error for one folder of images with a list beside it, which may have their classes; None for others.

    Args:
        root: What is in the folder of all data.
        layout: Its class folders.
        error: Why they cannot be used.
    """
    found = lists(root)
    if not found or len(set().union(*layout.counts.values())) != 1:
        return None
    return DataError(error.cause, f"if {found[0]} is a list of them, run edgetune with --data {_q(found[0])}")


def archives(root: Folder) -> tuple[str, ...]:
    """Return a note if there are archives beside the images or in class folders: images may be in them."""
    found = [f"{folder.path}/{name}" for folder in walk(root) for name in folder.files if _unpack(name)]
    if not found:
        return ()
    more = f" and {counted(len(found) - 1, 'other archive')}" if len(found) > 1 else ""
    return (f"images may be in {found[0].removeprefix(root.path).lstrip('/')}{more}, which are not read: unpack them",)


def _annotations(root: Folder) -> str | None:
    """Return what kind of annotations there is, with the file or folder that shows it."""
    for folder in _upper(root, 3):
        inside = {below.name.lower(): below for below in folder.folders}
        if "jpegimages" in inside and "annotations" in inside:
            return f"Pascal VOC ({inside['annotations'].path})"
        if _is_flat(inside.get("images")) and _holds(inside.get("labels"), ".txt"):
            return f"YOLO ({inside['labels'].path})"
        if _is_flat(inside.get("images")) and _holds(inside.get("annotations"), ".xml"):
            return f"Pascal VOC ({inside['annotations'].path})"
        for name in folder.files:
            if ending(name) == ".json" and (form := _json_form(f"{folder.path}/{name}")):
                return f"{form} ({folder.path}/{name})"
        if folder.images and _beside(folder, ".xml"):
            return f"Pascal VOC ({folder.path}/{_first(folder, '.xml')})"
        if folder.images and _beside(folder, ".txt"):
            return f"YOLO ({folder.path}/{_first(folder, '.txt')})"
    return None


def _upper(folder: Folder, depth: int) -> Iterator[Folder]:
    yield folder
    if depth:
        for inside in folder.folders:
            yield from _upper(inside, depth - 1)


def _is_flat(folder: Folder | None) -> bool:
    """Return whether a folder has images directly inside, or in splits that do."""
    if folder is None:
        return False
    return folder.images > 0 or any(inside.images and split_named(inside.name) for inside in folder.folders)


def _holds(folder: Folder | None, kind: str) -> bool:
    return folder is not None and any(ending(name) == kind for inside in walk(folder) for name in inside.files)


def _beside(folder: Folder, kind: str) -> bool:
    """Return whether there is a file of this ending for at least half of the images."""
    return 2 * sum(ending(name) == kind for name in folder.files) >= folder.images > 1


def _first(folder: Folder, kind: str) -> str:
    return next(name for name in folder.files if ending(name) == kind)


def _json_form(path: str) -> str | None:
    try:
        head = filesystem.read(path, _HEAD).decode("utf-8", "replace")
    except OSError:
        return None
    if len(set(_LABELME.findall(head))) == 2:
        return "LabelMe"
    if len(set(_COCO.findall(head))) == 2 or '"images"' in head and '"file_name"' in head:
        return "COCO"
    return None


def _parent_of_classes(path: str) -> str | None:
    """Return the folder above if it has other folders with images directly inside."""
    if filesystem.is_remote(path):
        return None
    parent = path.rpartition("/")[0]
    if not parent:
        return None
    try:
        beside = [
            name
            for name, is_folder in filesystem.entries(parent)
            if is_folder
            and not ignored(name)
            and f"{parent}/{name}" != path
            and any(ending(file) in IMAGE_ENDINGS for file in filesystem.names(f"{parent}/{name}"))
        ]
    except OSError:
        return None
    return parent if beside else None


def _unpack(path: str) -> str | None:
    for kind in sorted(_UNPACK, key=len, reverse=True):
        if path.lower().endswith(kind):
            folder = path[: -len(kind)]
            command = _UNPACK[kind].format(file=_q(path), folder=_q(folder))
            return f"unpack it and name the folder: {command} && edgetune run --data {_q(folder)}"
    return None


def _write_list(folder: str) -> str:
    return (
        f"write a list with one line for each image, {json.dumps(_A_LIST)} in the first, into {folder}/list.csv, and "
        f"run edgetune with --data {_q(f'{folder}/list.csv')}"
    )


def _q(path: str) -> str:
    return shlex.quote(path)
