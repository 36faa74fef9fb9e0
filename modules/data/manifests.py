"""Read lists of images: CSV or Parquet files with the columns `path`, `label` and optionally `split`.

    path,label,split
    2024/0001.jpg,oak,train
    2024/0002.jpg,elm,test

Paths are relative to the folder of the list and must stay inside it. Whether the files exist is not checked here: a
missing file is rejected when the images are read, like any unreadable file, and counts towards `data.max_rejected`.
"""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import DataError
from edgetune.modules.data.parquet import read_parquet
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

COLUMNS = ("path", "label")
SPLIT_COLUMN = "split"
_CSV, _PARQUET = (".csv",), (".parquet", ".pq")
_Row = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Entry:
    """One line of the list."""

    path: str
    """Relative to the folder of the list, without `.` and `..`."""
    label: str
    split: str | None
    """`train`, `eval` or `test`; None if the list has no such column."""


def is_manifest(path: str) -> bool:
    """Return whether a path is that of a list, by its ending."""
    return path.lower().endswith((*_CSV, *_PARQUET))


def read_manifest(
    path: str,
    split_names: dict[str, str],
    max_bytes: int = bounds.MAX_LIST,
    max_records: int = bounds.MAX_RECORDS,
) -> list[Entry]:
    """Return all entries of a list.

    Args:
        path: The file, local or behind a URL.
        split_names: Maps each name that a split may have in the list to the split.
        max_bytes: Size of the largest list that is read into memory; the setting `data.max_list_bytes`.
        max_records: Number of lines; the setting `data.max_records`.

    Raises:
        DataError: The list cannot be read, exceeds a bound, lacks a column or has it twice, or has a line without path
            or label, with an unknown split, with a path outside the folder, or with another line's path. The error
            names file and line.
    """
    try:
        content = read_file(path, None, max_bytes, "a list of images (data.max_list_bytes)")
    except UnreadableFile as error:
        raise DataError(f"{path}: {error}", "check the file and its permissions, or raise the setting") from error
    if path.lower().endswith(_PARQUET):
        columns, rows = read_parquet(path, content, (*COLUMNS, SPLIT_COLUMN))
    else:
        columns, rows = _csv(path, content)
    if twice := [name for name in (*COLUMNS, SPLIT_COLUMN) if columns.count(name) > 1]:
        raise DataError(f"{path} has the column {twice[0]} more than once", "keep one of them")
    if missing := [name for name in COLUMNS if name not in columns]:
        raise DataError(
            f"{path} has no column {' and no column '.join(missing)}; it has {', '.join(columns) or 'none'}",
            "name the columns path, label and, if the data has its own splits, split",
        )
    base = path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
    splits = split_names if SPLIT_COLUMN in columns else None
    entries: list[Entry] = []
    first: dict[str, str] = {}
    for where, row in rows:
        if len(entries) >= max_records:
            cause = f"{path}, {where}: is beyond the {max_records} images that a list may have (data.max_records)"
            raise DataError(cause, "raise data.max_records if the list is yours")
        entry = _entry(f"{path}, {where}", row, base, splits)
        if entry.path in first:
            raise DataError(f"{path}, {where}: {entry.path} is already in {first[entry.path]}", "keep one of them")
        first[entry.path] = where
        entries.append(entry)
    return entries


def _entry(where: str, row: dict[str, Any], base: str, splits: dict[str, str] | None) -> Entry:
    for name in COLUMNS:
        if not str(row[name] if row[name] is not None else "").strip():
            raise DataError(f"{where}: the {name} is empty", "fill it in, or remove the line")
    split = None
    if splits is not None:
        named = str(row[SPLIT_COLUMN] or "").strip()
        split = splits.get(named.lower())
        if split is None:
            raise DataError(f"{where}: the split {named!r} is not known", f"name it one of {', '.join(splits)}")
    return Entry(_inside(where, str(row["path"]), base), str(row["label"]).strip(), split)


def _inside(where: str, path: str, base: str) -> str:
    relative = path.removeprefix(f"{base.rstrip('/')}/")
    normal = posixpath.normpath(relative)
    if normal.startswith(("/", "../")) or normal in (".", "..") or filesystem.is_remote(relative):
        raise DataError(
            f"{where}: the path {path} leaves the folder {base} of the list",
            "put the list into a folder that contains all its images",
        )
    return normal


def _csv(path: str, content: bytes) -> tuple[list[str], Iterator[_Row]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8", "save the list as CSV in UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records = _records(path, reader)
    columns = [name.strip() for name in next(records, ("", []))[1]]
    return columns, _csv_rows(path, columns, records)


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
        if len(record) != len(columns):
            raise DataError(
                f"{path}, {where}: {len(record)} values, but the first line names {len(columns)} columns",
                "put values that contain a comma or a line break into double quotes",
            )
        yield where, dict(zip(columns, record, strict=True))
