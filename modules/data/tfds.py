"""Folders as TensorFlow Datasets writes them: files of records whose names tell the split, and names of classes beside.

DIR/birds-train.tfrecord-00000-of-00002       and so on; `validation` may stand for `eval`
DIR/label.labels.txt                          one name in each line, for labels 0, 1, ...
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from edgetune.modules.core.errors import DataError
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

_MOST = 16 << 20
_FILE = re.compile(r".+-(?P<split>[a-z]+)\.tfrecord-\d{5,}-of-\d{5,}")


def split_patterns(names: Iterable[str], split_of: Mapping[str, str]) -> dict[str, str] | None:
    """Glob pattern of the files of each split.

    Args:
        names: Of all files of records in the folder.
        split_of: Split by each name that it may go under.

    Returns:
        Patterns by split; None where a file is named otherwise, or the splits are not train, eval and test.
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
    """Where the names of classes would be."""
    return f"{base}/{label_feature}.labels.txt"


def class_names(base: str, label_feature: str) -> tuple[str, ...]:
    """The names of classes by their numbers; none where the folder has no such file.

    Raises:
        DataError: It is there and cannot be read: no ordinary file, a link out of the folder, not permitted, too large.
    """
    path = labels_file(base, label_feature)
    if not filesystem.exists(path):
        return ()
    try:
        content = read_file(path, base, _MOST, "names of classes")
    except UnreadableFile as error:
        raise DataError(f"{path}: {error}", "put the file itself there, or take it away") from error
    return tuple(content.decode("utf-8", "replace").rstrip("\n").split("\n"))
