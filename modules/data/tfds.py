"""Read the splits and class names of folders written by TensorFlow Datasets.

DIR/birds-train.tfrecord-00000-of-00002       and so on; `eval` may be called `validation`
DIR/label.labels.txt                          one class name per line, for labels 0, 1, ...
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import DataError
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

_FILE = re.compile(r".+-(?P<split>[a-z]+)\.tfrecord-\d{5,}-of-\d{5,}")


def split_patterns(names: Iterable[str], split_of: Mapping[str, str]) -> dict[str, str] | None:
    """Return the glob pattern for the files of each split.

    Args:
        names: Names of all TFRecord files in the folder.
        split_of: Maps each name that a split may have to the split.

    Returns:
        Patterns by split; None if a file has another form of name, or the splits are not train, eval and test.
    """
    found: dict[str, set[str]] = {}
    for name in names:
        named = _FILE.fullmatch(name)
        if named is None or named["split"] not in split_of:
            return None
        found.setdefault(split_of[named["split"]], set()).add(named["split"])
    if set(found) != set(split_of.values()) or any(len(aliases) > 1 for aliases in found.values()):
        return None
    return {split: f"*-{alias}.tfrecord-*" for split in dict.fromkeys(split_of.values()) for alias in found[split]}


def labels_file(base: str, label_feature: str) -> str:
    """Return the path of the file of class names, which may not exist."""
    return f"{base}/{label_feature}.labels.txt"


def class_names(base: str, label_feature: str) -> tuple[str, ...]:
    """Return the class names in the order of their numbers, or an empty tuple if the folder has no file of them.

    Raises:
        DataError: The file cannot be read: not an ordinary file, a link out of the folder, not permitted, too large, or
            not UTF-8, where replaced bytes could merge two classes.
    """
    path = labels_file(base, label_feature)
    if not filesystem.exists(path):
        return ()
    try:
        content = read_file(path, base, bounds.MAX_TEXT, "a file of class names")
    except UnreadableFile as error:
        raise DataError(f"{path}: {error}", "replace it by an ordinary file, or remove it") from error
    try:
        return tuple(content.decode().rstrip("\n").split("\n"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8", "save the file of class names in UTF-8") from error
