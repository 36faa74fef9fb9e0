"""Detect the form of the data before any image is read: class folders, splits, TFRecords, or a list.

DIR/<class>/**                     class folders: edgetune splits them, see `modules.data.layouts`
DIR/{train,eval,test}/<class>/**   class folders in splits; `val`, `validation` or `dev` may stand for `eval`
DIR/*.tfrecord                     records of tf.Example: edgetune splits them
DIR/{train,eval,test}/*.tfrecord   records in splits; or all in DIR, named as by TensorFlow Datasets
LIST.csv, LIST.parquet             list of images with labels and optionally splits, see `modules.data.manifests`

Of splits, one of eval and test, or both, may be missing: they are made from train.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from edgetune.modules.core.errors import DataError
from edgetune.modules.core.wording import counted
from edgetune.modules.data import layouts, other_forms, two_levels
from edgetune.modules.data.class_names import similar_classes
from edgetune.modules.data.groups import check_kind, list_columns
from edgetune.modules.data.layouts import ALL, SPLIT_FOLDERS, SPLIT_OF
from edgetune.modules.data.manifests import is_manifest, read_list
from edgetune.modules.data.record_count import count_records
from edgetune.modules.data.tfds import class_names, split_patterns
from edgetune.modules.settings.run import DataSettings
from edgetune.modules.storage import filesystem as fs

__all__ = ["ALL", "SPLIT_FOLDERS", "SPLIT_OF", "Source", "discover"]


_TRIED = 20
"""Number of images of a list that are looked for, before all are if several folders have these."""
_OF_IMAGES = ("images", "jpegimages")
"""Names of folders of images in data sets whose labels are elsewhere."""


@dataclass(frozen=True)
class Source:
    """Location and form of the images."""

    kind: Literal["images", "tfrecords", "manifest"]
    base: str
    """Folder that the patterns are relative to and that contains all files."""
    patterns: dict[str, str]
    """Glob pattern by split; the key `all` is for images that edgetune divides. For a list: `<name>#<split>`."""
    images: int | None = None
    """Number of files, lines or records that should be images; None if it is unknown before they are read."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What was assumed or left out, one sentence each, for the user."""

    @property
    def made_splits(self) -> list[str]:
        """The splits that edgetune makes: all of them, those that the data lack, or none."""
        return layouts.splits_of(self.patterns)

    @property
    def has_splits(self) -> bool:
        """Whether the data has its own splits, all of them."""
        return not self.made_splits

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
    _check_exists(base)
    if not fs.is_folder(base):
        if is_manifest(base):
            return _listed(base, settings)
        raise other_forms.of_file(base)
    try:
        root = layouts.tree(base)
    except OSError as error:
        cause = f"{error.filename or base} cannot be read: {error.strerror}"
        raise DataError(cause, "check the folder and its permissions") from error
    try:
        layout = layouts.find(root)
    except DataError as error:
        raise other_forms.of_annotations(root) or error from None
    if layout is None:
        return _records(base, root, settings)
    named = set(layout.counts.get(ALL, ())) if len(layout.counts) == 1 else set()
    if any(name.lower() in _OF_IMAGES for name in named) and (annotated := other_forms.of_annotations(root)):
        raise annotated
    if two_levels.ALLOWED not in settings.allow:
        two_levels.check(base, layout.parents)
    try:
        _check_layout(layout, base, settings)
    except DataError as error:
        raise other_forms.of_annotations(root) or other_forms.list_beside(root, layout, error) or error from None
    check_kind(settings.group, "images")
    images = sum(counts.total() for counts in layout.counts.values())
    return Source("images", base, layout.patterns, images, (*layout.notes, *other_forms.archives(root)))


def _check_exists(base: str) -> None:
    try:
        if not fs.exists(base):
            raise DataError(f"the folder of images {base} does not exist", "correct data.path or --data")
    except OSError as error:
        raise DataError(f"{base} cannot be read: {error.strerror}", "check the folder and its permissions") from error


def _check_layout(layout: layouts.Layout, base: str, settings: DataSettings) -> None:
    if set(layout.counts) == {ALL}:
        _check_classes(layout.counts[ALL], base, settings)
    else:
        names = {key: f"{base}/{pattern}".removesuffix("/*/*") for key, pattern in layout.patterns.items()}
        _check_splits(layout.counts, base, names, settings)


def _records(base: str, root: layouts.Folder, settings: DataSettings) -> Source:
    pattern = settings.tfrecord_pattern
    if records := fs.matching(base, pattern):
        class_names(base, settings.label_feature)  # raises now if they cannot be read
        own = split_patterns((path.rpartition("/")[2] for path in records), SPLIT_OF)
        return Source("tfrecords", base, own or {ALL: pattern}, count_records(records))
    found: dict[str, tuple[str, list[str]]] = {}
    for folder in root.folders:
        if (split := layouts.split_named(folder.name)) and (records := fs.matching(folder.path, pattern)):
            if split in found:
                raise DataError(f"{base} has the split {split} twice", "keep each of train, eval and test once")
            found[split] = f"{folder.name}/{pattern}", records
    if "train" not in found:
        raise other_forms.of_folder(root, pattern)
    patterns, notes = _with_missing_splits({split: glob for split, (glob, _) in found.items()})
    return Source("tfrecords", base, patterns, count_records(chain(*(records for _, records in found.values()))), notes)


def _with_missing_splits(patterns: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the patterns with train's under `all` if eval or test is missing, and a note about it."""
    missing = [split for split in SPLIT_FOLDERS if split not in patterns]
    keys = {split: ALL if split == "train" and missing else split for split in SPLIT_FOLDERS if split in patterns}
    notes = (layouts.made_from_train(missing, "train"),) if missing else ()
    return {key: patterns[split] for split, key in keys.items()}, notes


def _listed(path: str, settings: DataSettings) -> Source:
    listed = read_list(path, SPLIT_OF, settings.max_list_bytes, settings.max_records, list_columns(settings))
    entries = listed.entries
    base, _, name = path.rpartition("/")
    _check_places([entry.path for entry in entries], path)
    counts: dict[str, Counter[str]] = {}
    for entry in entries:
        counts.setdefault(entry.split or ALL, Counter())[entry.label] += 1
    notes: tuple[str, ...] = ()
    patterns = {split: f"{name}#{split}" for split in (ALL, *SPLIT_FOLDERS) if split in counts}
    if set(counts) <= {ALL}:
        _check_classes(counts.get(ALL, Counter()), path, settings)
    elif ALL in counts:
        raise DataError(
            f"{path} has {counted(counts[ALL].total(), 'line')} without a split beside lines with one",
            "name a split in all lines, or in none to let edgetune split the images",
        )
    elif "train" not in counts:
        raise DataError(
            f"{path} has no line with the split train",
            "add lines for train, or let edgetune split the images with --set data.columns.split=",
        )
    else:
        _check_splits(counts, path, {split: f"the split {split} of {path}" for split in counts}, settings)
        patterns, notes = _with_missing_splits(patterns)
    return Source("manifest", base or ".", patterns, len(entries), (*listed.notes, *notes))


def _check_places(paths: Sequence[str], path: str) -> None:
    """Reject a list whose first images are all missing and are in a folder beside it, or have an ending more."""
    base = path.rpartition("/")[0] or "."
    if fs.is_remote(path) or not paths or any(os.path.lexists(f"{base}/{image}") for image in paths[:_TRIED]):
        return
    for kind in (".jpg", ".jpeg", ".png"):
        if all(os.path.isfile(f"{base}/{image}{kind}") for image in paths[:_TRIED]):  # noqa: PTH113
            raise DataError(
                f"{path}: the file {paths[0]} does not exist, and {paths[0]}{kind} does", f"add {kind} to the paths"
            )
    found = [
        (folder, kind)
        for folder, is_folder in fs.entries(base)
        for kind in (("", ".jpg", ".jpeg", ".png") if is_folder else ())
        if all(os.path.isfile(f"{base}/{folder}/{image}{kind}") for image in paths[:_TRIED])  # noqa: PTH113
    ]
    if len(found) > 1:  # of a folder that has only the first names, too
        found = [
            (folder, kind)
            for folder, kind in found
            if all(os.path.isfile(f"{base}/{folder}/{image}{kind}") for image in paths)  # noqa: PTH113
        ] or found
    if found:
        raise _elsewhere(path, paths[0], found)


def _elsewhere(path: str, image: str, found: Sequence[tuple[str, str]]) -> DataError:
    """Return the error for a list whose images are in a folder beside it, with the command if it is certain.

    It is certain if the folder is the only one, or the only one that is named as the list, and not as another split.

    Args:
        path: The list.
        image: A path in it.
        found: Each folder that has all the images, and the ending that the paths in the list lack.
    """
    base, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0].lower()
    split = layouts.split_of_words(stem)
    own = [(folder, kind) for folder, kind in found if folder.lower() == stem] or [
        (folder, kind) for folder, kind in found if split and layouts.split_of_words(folder) == split
    ]
    others = {layouts.split_of_words(folder) for folder, _ in found} - {split, None}
    certain = own if len(own) == 1 else found if len(found) == 1 and not (split and others) else []
    if not certain:
        named = " and ".join(f"{folder}/{image}{kind}" for folder, kind in found)
        return DataError(
            f"{path}: the file {image} does not exist, and {named} "
            + ("does, in a folder that is named as another split" if len(found) == 1 else "do"),
            f"put the list into the folder of its images yourself: only you know whether {name} has the classes of the "
            f"images in {' or in '.join(folder for folder, _ in found)}; or write the folder before each path of it",
        )
    [(folder, kind)] = certain
    inside = f"{base or '.'}/{folder}"
    return DataError(
        f"{path}: the file {image} does not exist, and {folder}/{image}{kind} does",
        f"cp {shlex.quote(path)} {shlex.quote(inside)}/ && edgetune run --data {shlex.quote(f'{inside}/{name}')}"
        + (f", with {kind} added to the paths" if kind else ""),
    )


def _check_splits(
    counts: Mapping[str, Counter[str]], base: str, names: Mapping[str, str], settings: DataSettings
) -> None:
    """Check that every class is in all splits that the data have; `names` has the name of each split for errors."""
    totals: Counter[str] = Counter()
    for found in counts.values():
        totals.update(found)
    for split, found in counts.items():
        if missing := sorted(name for name, count in totals.items() if count and not found[name]):
            alike = "".join(f"; {finding.cause}" for finding in similar_classes(totals))
            raise DataError(
                f"{names[split]} lacks the classes {', '.join(missing)}, which other splits have{alike}",
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
