"""The files that ImageExampleGen would read, by the same functions, each with its class and its split."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from edgetune.modules.core import bounds
from edgetune.modules.data import class_folders
from edgetune.modules.data.groups import list_columns
from edgetune.modules.data.manifests import read_manifest
from edgetune.modules.data.sources import ALL, SPLIT_OF, Source
from edgetune.modules.settings.run import DataSettings
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.safe_read import UnreadableFile, check_file


@dataclass(frozen=True, slots=True)
class File:
    """A file to read."""

    path: str
    label: str
    split: str
    """Empty if edgetune divides it."""
    content: bytes | None = None
    """Of a record; None of a file."""
    reason: str = ""
    """Why a record has no image or no label."""
    group: str = ""
    """Value of the column, or of a record's feature, that `data.group` names; empty if there is none."""


def labelled(source: Source, settings: DataSettings) -> Iterator[File]:
    """Yield all files with a class, of class folders or of a list, or the records of TFRecord files.

    Raises:
        DataError: The list cannot be read.
        OSError: A folder cannot be listed.
    """
    if source.kind == "manifest":
        most = settings.max_list_bytes, settings.max_records, list_columns(settings)
        for key, pattern in source.patterns.items():
            name, _, split = pattern.rpartition("#")
            for entry in read_manifest(f"{source.base}/{name}", SPLIT_OF, *most):
                if (entry.split or ALL) == split:
                    yield File(f"{source.base}/{entry.path}", entry.label, "" if key == ALL else key, group=entry.group)
        return
    if source.kind == "tfrecords":
        yield from _records(source, settings)
        return
    for key, pattern in source.patterns.items():
        for folder in class_folders.class_folders(f"{source.base}/{pattern}".removesuffix("/*/*"), source.base):
            label = folder.rpartition("/")[2]
            for path in class_folders.files(folder, source.base):
                yield File(path, label, "" if key == ALL else key)


def _records(source: Source, settings: DataSettings) -> Iterator[File]:
    from edgetune.components.image_example_gen.raw_example import RecordFeatures, group_of, image_and_label
    from edgetune.modules.data.tfds import class_names
    from edgetune.modules.data.tfrecords import Bounds, Damaged, read_records
    from edgetune.modules.images.pillow_read import Unusable

    most = Bounds(bounds.max_file_bytes(settings.max_pixels), settings.max_records, settings.max_unpack_ratio)
    names = class_names(source.base, settings.label_feature)
    features = RecordFeatures(settings.image_feature, settings.label_feature, names)
    for key, pattern in source.patterns.items():
        split = "" if key == ALL else key
        for path in filesystem.matching(source.base, pattern):
            try:
                if not filesystem.is_remote(path):
                    check_file(path, source.base)
                for number, record in enumerate(read_records(path, most), start=1):
                    name = f"{path}#{number}"
                    try:
                        content, label = image_and_label(record, features)
                        group = group_of(record, settings.group) if settings.group else ""
                    except Unusable as error:
                        yield File(name, "", split, reason=str(error))
                    else:
                        yield File(name, label, split, content, group=group)
            except (Damaged, UnreadableFile, OSError) as error:
                yield File(path, "", split, reason=str(error))


def others(source: Source) -> Iterator[class_folders.Other]:
    """Yield all other files in the folder; none of a list, which names what is read.

    Raises:
        OSError: A folder cannot be listed.
    """
    if source.kind == "images":
        yield from class_folders.others(source.base, list(source.patterns.values()))


def as_text(name: str) -> str:
    """Return a name as text that can be written, with bytes that are not UTF-8 as escapes, as ImageExampleGen does."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
