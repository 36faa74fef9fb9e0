"""Read lists of images: CSV or Parquet files with the columns `path`, `label` and optionally `split`.

    path,label,split
    2024/0001.jpg,oak,train
    2024/0002.jpg,elm,test

Columns may have other names (`modules.data.columns`) or, as in the import files of Vertex AI, none; a CSV may have
semicolons or tabs, be in UTF-8 or UTF-16, and have a column with 0 and 1 for each class. Paths are relative to the
folder of the list and must stay inside it; those of Windows are taken as such. Whether the files exist is not checked
here: a missing file is rejected when the images are read, like any unreadable file, and counts towards
`data.max_rejected`.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import os
import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import DataError
from edgetune.modules.data import columns as of_lists
from edgetune.modules.data.columns import GROUP, LABEL, PATH, SPLIT
from edgetune.modules.data.parquet import read_parquet
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

_CSV, _PARQUET = (".csv", ".tsv"), (".parquet", ".pq")
_SEPARATORS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_NAMED = 5
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_Row = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Entry:
    """One line of the list."""

    path: str
    """Relative to the folder of the list, without `.` and `..`."""
    label: str
    split: str | None
    """`train`, `eval` or `test`; None if the list has no such column."""
    group: str = ""
    """Of images that no split may separate; empty if `data.group` names no column."""


@dataclass(frozen=True)
class Listed:
    """What a list says."""

    entries: list[Entry]
    notes: tuple[str, ...]
    """Which columns were taken for what by their values, and which are not used, one sentence each."""


def is_manifest(path: str) -> bool:
    """Return whether a path is that of a list, by its ending."""
    return path.lower().endswith((*_CSV, *_PARQUET))


def read_manifest(
    path: str,
    split_names: dict[str, str],
    max_bytes: int = bounds.MAX_LIST,
    max_records: int = bounds.MAX_RECORDS,
    columns: Mapping[str, str] | None = None,
) -> list[Entry]:
    """Return all entries of a list, as `read_list` does."""
    return read_list(path, split_names, max_bytes, max_records, columns).entries


def read_list(
    path: str,
    split_names: dict[str, str],
    max_bytes: int = bounds.MAX_LIST,
    max_records: int = bounds.MAX_RECORDS,
    columns: Mapping[str, str] | None = None,
) -> Listed:
    """Return all entries of a list, and notes on its columns.

    Args:
        path: The file, local or behind a URL.
        split_names: Maps each name that a split may have in the list to the split.
        max_bytes: Size of the largest list that is read into memory; the setting `data.max_list_bytes`.
        max_records: Number of lines; the setting `data.max_records`.
        columns: Names of the columns of `path`, `label` and `split`, the setting `data.columns`, and of `group`.

    Raises:
        DataError: The list cannot be read, exceeds a bound, lacks a column or has it twice, or has a line without path,
            label or group, with an unknown split, with a path outside the folder, or with another line's path. The
            error names file and line.
    """
    try:
        content = read_file(path, None, max_bytes, "a list of images (data.max_list_bytes)")
    except UnreadableFile as error:
        raise DataError(f"{path}: {error}", "check the file and its permissions, or raise the setting") from error
    given = dict(columns or {})
    if path.lower().endswith(_PARQUET):
        names, rows = read_parquet(path, content, given)
    else:
        names, rows = _csv(path, content, given, split_names)
    first = list(itertools.islice(rows, of_lists.SAMPLE))
    sample = [row for _, row in first]
    rows = itertools.chain(first, rows)
    try:
        found = of_lists.roles(names, given, sample)
    except DataError as error:
        raise DataError(f"{path} {error.cause}", error.remedy) from None
    classes: list[str] = []
    if LABEL not in found and PATH in found:
        classes = of_lists.one_hot(names, found.values(), sample)
    if missing := [name for name in (PATH, LABEL) if name not in found and not (name == LABEL and classes)]:
        rest = [name for name in names if name and name not in found.values()]
        raise DataError(
            f"{path} has no column {' and no column '.join(missing)}; it has {', '.join(names) or 'none'}",
            "name the columns path, label and, if the data has its own splits, split; or say which they are, such as "
            f"--set data.columns.{missing[0]}={shlex.quote((rest or ['NAME'])[0])}",
        )
    base = path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
    entries: list[Entry] = []
    first_of: dict[str, str] = {}
    for where, row in rows:
        if len(entries) >= max_records:
            cause = f"{path}, {where}: is beyond the {max_records} images that a list may have (data.max_records)"
            raise DataError(cause, "raise data.max_records if the list is yours")
        entry = _entry(f"{path}, {where}", _values(f"{path}, {where}", row, found, classes), base, split_names)
        if entry.path in first_of:
            raise DataError(f"{path}, {where}: {entry.path} is already in {first_of[entry.path]}", "keep one of them")
        first_of[entry.path] = where
        entries.append(entry)
    named = of_lists.candidates(names, given)
    by_value = {role: name for role, name in found.items() if name not in named[role]}
    return Listed(entries, tuple(_notes(names, found, by_value, classes)))


def _notes(
    names: Iterable[str], found: Mapping[str, str], by_value: Mapping[str, str], classes: Sequence[str]
) -> Iterator[str]:
    for role, name in by_value.items():
        none = "; if it is not, --set data.columns.split=" if role == SPLIT else ""
        yield f"the column {name} is taken for the {role}, by its values{none}"
    if classes:
        yield (
            f"the classes are the columns {_some(classes)}, of which one is 1 in each line; if they are not classes, "
            "say which column is with --set data.columns.label=COLUMN"
        )
    if rest := [name for name in names if name and name not in {*found.values(), *classes}]:
        yield f"columns of the list that are not used: {_some(rest)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _values(where: str, row: Mapping[str, Any], found: Mapping[str, str], classes: list[str]) -> dict[str, str]:
    """Return the values of a line by role."""
    values = {role: of_lists.text(row[name]) for role, name in found.items()}
    if SPLIT in found:
        values[SPLIT] = of_lists.split_value(found[SPLIT], values[SPLIT])
    if classes:
        named = of_lists.hot(row, classes)
        if len(named) != 1:
            raise DataError(
                f"{where}: {len(named)} of the columns {', '.join(classes[:5])}{', ...' * (len(classes) > 5)} are 1",
                "an image has one class: remove the line, or leave one of them",
            )
        values[LABEL] = named[0]
    return values


def _entry(where: str, values: Mapping[str, str], base: str, splits: dict[str, str]) -> Entry:
    for name in (PATH, LABEL, *({GROUP} & set(values))):
        if not values[name].strip():
            raise DataError(f"{where}: the {name} is empty", "fill it in, or remove the line")
    split = None
    if SPLIT in values and (named := values[SPLIT].strip()).lower() != of_lists.UNASSIGNED:
        split = splits.get(named.lower()) or of_lists.SPLITS.get(named.lower())
        if split is None:
            raise DataError(
                f"{where}: the split {named!r} is not known",
                f"name it one of {', '.join(splits)}; if the column is not of splits, --set data.columns.split=",
            )
    return Entry(
        _inside(where, _trimmed(values[PATH], base), base), values[LABEL].strip(), split, values.get(GROUP, "").strip()
    )


def _trimmed(path: str, base: str) -> str:
    """Return a path without blanks and marks of a byte order around it, unless they are of a name on this disk."""
    trimmed = path.strip().strip("\ufeff").strip()
    if trimmed == path or not filesystem.is_remote(base) and os.path.lexists(f"{base}/{path}"):
        return path
    return trimmed


def _inside(where: str, path: str, base: str) -> str:
    relative = _with_slashes(path.removeprefix(f"{base.rstrip('/')}/"), base)
    normal = posixpath.normpath(relative)
    if normal.startswith(("/", "../")) or normal in (".", "..") or filesystem.is_remote(relative):
        remedy = "put the list into a folder that contains all its images"
        if relative.lower().startswith(("http://", "https://")):
            remedy = "download the images into the folder of the list, and write their paths there into it"
        elif filesystem.is_remote(relative) and not filesystem.is_remote(base):
            bucket = "/".join(relative.split("/")[:3])
            remedy = (
                f"copy the list to {bucket}/list.csv and run edgetune with --data {bucket}/list.csv; or, if the images "
                f"are here, remove {bucket}/ from all lines"
            )
        raise DataError(f"{where}: the path {path} leaves the folder {base} of the list", remedy)
    if _DRIVE.match(relative) and (filesystem.is_remote(base) or not os.path.lexists(f"{base}/{relative}")):
        raise DataError(
            f"{where}: the path {path} is of a drive of Windows", "write it relative to the folder of the list"
        )
    return normal


def _with_slashes(path: str, base: str) -> str:
    """Return a path of Windows with slashes; one whose backslash is part of a name on this disk stays as it is."""
    if "\\" not in path or _DRIVE.match(path):
        return path
    if not filesystem.is_remote(base) and os.path.lexists(f"{base}/{path}"):
        return path
    return path.replace("\\", "/")


def _csv(
    path: str, content: bytes, given: Mapping[str, str], split_names: Iterable[str]
) -> tuple[list[str], Iterator[_Row]]:
    text = _decoded(path, content)
    if told := _SEPARATOR_LINE.match(text):  # of Excel; the empty line keeps the numbers of the others
        text = "\n" + text[told.end() :]
    separator = told[1] if told else _separator(text, given)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    records = _records(path, reader)
    first = next(records, ("", []))
    try:
        roles = None if given else of_lists.without_header(first[1], split_names)
    except DataError as error:
        raise DataError(f"{path} {error.cause}", error.remedy) from None
    if roles:
        return roles, _csv_rows(path, roles, itertools.chain([first], records))
    columns = [name.strip() for name in first[1]]
    return columns, _csv_rows(path, columns, records)


def _decoded(path: str, content: bytes) -> str:
    """Return the text of a CSV, in UTF-8 or, as some programs write it, in UTF-16."""
    encoding = "utf-8-sig"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\0" in content[:2]:
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    try:
        text = content.decode(encoding)
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise DataError(f"{path}, line {line}: has a zero byte", "save the list as CSV in UTF-8")
        return text
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = "UTF-8" if encoding == "utf-8-sig" else "UTF-16"
        raise DataError(f"{path}, line {line}: not {what}", "save the list as CSV in UTF-8") from error


def _separator(text: str, given: Mapping[str, str]) -> str:
    """Return the separator that makes most columns with a known name, or most columns, of the first line."""
    line = next((line for line in text.splitlines() if line.strip()), "")

    def worth(separator: str) -> tuple[int, int]:
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=separator))]
        except csv.Error:  # which reading all of it reports with its line
            return 0, 0
        known = sum(bool(found) for found in of_lists.candidates(names, given).values())
        return known, len(names)

    return max(_SEPARATORS, key=worth)


def _records(path: str, reader: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield the non-empty records of a CSV, each with the line where it begins."""
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path}, line {line}: not valid CSV: {error}", "save the list as CSV again") from error
        if record is None:
            return
        if record:
            yield f"line {line}", record


def _csv_rows(path: str, columns: list[str], records: Iterable[tuple[str, list[str]]]) -> Iterator[_Row]:
    for where, record in records:
        if not any(value.strip() for value in record):
            continue
        if any(value.strip() for value in record[len(columns) :]) or len(record) < len(columns):
            raise DataError(
                f"{path}, {where}: {len(record)} values, but the first line names {len(columns)} columns",
                "put values that contain a separator or a line break into double quotes",
            )
        yield where, dict(zip(columns, record, strict=False))  # a separator at the end of each line is common
