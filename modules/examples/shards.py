"""Record which files an `Examples` artifact has, and read exactly those.

    <artifact>/Split-train/data_tfrecord-00000-of-00002.gz      a shard: gzipped TFRecords
    <artifact>/shards.json                                      {split: {"records": n, "shards": {name: bytes}}}

TFX's own readers take every file that matches `Split-<name>/*`, so a shard left by another execution would become
training data. The writer records its shards in `shards.json`, and the SHA-256 of that file on the artifact, as the
custom property `PROPERTY`; every component checks both before it reads. The record is a file because functions below
the components know the artifact by its folder only, and because its size is not bounded; its digest is a property
because ML Metadata, and not the folder, says which execution wrote the artifact.

| what                            | protects against                                                            |
|-|-|
| names of splits and shards      | files and folders of other executions; lost shards                          |
| sizes of shards                 | shards that were cut or replaced                                            |
| number of records of each split | a step that loses or repeats examples: Transform must write what it was given |
| digest of `shards.json`         | a folder that another execution has written as a whole                      |

The content of a shard needs no further digest, which would mean reading everything once more for each component:
TFRecord has a CRC-32C for every record and gzip a CRC-32 for every member, which all readers check.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgetune.modules.core.errors import DataError
from edgetune.modules.storage import filesystem

SHARDS_FILE = "shards.json"
PROPERTY = "shards_digest"
"""Custom property of the artifact: SHA-256 of `shards.json`, 64 hexadecimal digits."""
_FOLDER = "Split-"
_SHARD = re.compile(r"(.+)-(\d{5,})-of-(\d{5,})\.gz")
# Beam leaves these behind if a worker fails while it prepares to write, or if they cannot be removed.
_TEMPORARY = "beam-temp-"
_AGAIN = "run again with --no-cache, which writes the examples anew"


def write(examples_uri: str, records: Mapping[str, int]) -> str:
    """Write `shards.json` for shards that were just written to a folder that was empty before.

    Args:
        examples_uri: Folder or URL of the artifact.
        records: Number of records by split.

    Returns:
        The value for the custom property `PROPERTY`.

    Raises:
        DataError: A folder has files that one writer cannot have written, or lacks some.
    """
    for split in records:
        for name in filesystem.names(_folder(examples_uri, split)):
            if name.startswith(_TEMPORARY):
                filesystem.remove(f"{_folder(examples_uri, split)}/{name}")
    splits: dict[str, dict[str, Any]] = {
        split: {"records": count, "shards": filesystem.sizes(_folder(examples_uri, split))}
        for split, count in records.items()
    }
    for split, found in splits.items():
        _check_complete(_folder(examples_uri, split), sorted(found["shards"]))
    content = json.dumps(splits, indent=1, sort_keys=True).encode() + b"\n"
    filesystem.write(f"{examples_uri}/{SHARDS_FILE}", content)
    return hashlib.sha256(content).hexdigest()


def check(examples_uri: str, digest: str) -> dict[str, int]:
    """Check that a folder has the shards that were recorded, and nothing else that a reader could take for one.

    Args:
        examples_uri: Folder or URL of an artifact.
        digest: Its custom property `PROPERTY`.

    Returns:
        Number of records by split.

    Raises:
        DataError: A file or folder is missing, was not written with the artifact or has another size; or `shards.json`
            is missing or is not the one that was written.
    """
    splits = _read(examples_uri, digest)
    for name in filesystem.names(examples_uri):
        if name.startswith(_FOLDER) and name.removeprefix(_FOLDER) not in splits:
            raise _foreign(f"{examples_uri}/{name}", f"the splits are {', '.join(splits)}")
    for split, recorded in splits.items():
        folder, shards = _folder(examples_uri, split), recorded["shards"]
        try:
            found = filesystem.sizes(folder)
        except OSError as error:
            raise DataError(f"{folder}: cannot be read: {error.strerror}", _AGAIN) from None
        for name in sorted(set(found) - set(shards)):
            raise _foreign(f"{folder}/{name}", f"the number of shards is {len(shards)}")
        for name, size in sorted(shards.items()):
            if name not in found:
                raise DataError(f"{folder}/{name}: is missing, one of {len(shards)} shards of examples", _AGAIN)
            if found[name] != size:
                raise DataError(
                    f"{folder}/{name}: has {found[name]:,} bytes instead of the {size:,} that were written", _AGAIN
                )
    return {split: recorded["records"] for split, recorded in splits.items()}


def count(examples_uri: str, split: str) -> int:
    """Return the recorded number of records of a split; 0 for a split that the artifact does not have.

    Raises:
        DataError: `shards.json` is missing or damaged.
    """
    return int(_read(examples_uri).get(split, {"records": 0})["records"])


def files(examples_uri: str, split: str) -> list[str]:
    """Return the paths of a split's shards as recorded, sorted; none for a split that the artifact does not have.

    Raises:
        DataError: `shards.json` is missing or damaged.
    """
    recorded = _read(examples_uri).get(split, {"shards": {}})
    return [f"{_folder(examples_uri, split)}/{name}" for name in sorted(recorded["shards"])]


def _folder(examples_uri: str, split: str) -> str:
    return f"{examples_uri}/{_FOLDER}{split}"


def _read(examples_uri: str, digest: str | None = None) -> dict[str, dict[str, Any]]:
    path = f"{examples_uri}/{SHARDS_FILE}"
    try:
        content = filesystem.read(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}), so it is unknown which examples were written", _AGAIN
        ) from None
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"{path}: is not the file that was written with the artifact", _AGAIN)
    try:
        return dict(json.loads(content))
    except ValueError:
        raise DataError(f"{path}: is damaged", _AGAIN) from None


def _foreign(path: str, what: str) -> DataError:
    return DataError(
        f"{path}: was not written with the artifact ({what}), and would be read as examples",
        f"another execution or program has written it: remove it, or {_AGAIN}",
    )


def _check_complete(folder: str, names: Sequence[str]) -> None:
    """Check that the names are those of all shards of one writer."""
    matches = [_SHARD.fullmatch(name) for name in names]
    for name, match in zip(names, matches, strict=True):
        if match is None:
            raise _foreign(f"{folder}/{name}", "shards are named <prefix>-<number>-of-<total>.gz")
    found = sorted((match[1], int(match[2]), int(match[3])) for match in matches if match)
    prefix = found[0][0] if found else ""
    if not found or found != [(prefix, number, len(found)) for number in range(len(found))]:
        raise DataError(f"{folder}: is not the output of one writer: {', '.join(names) or 'empty'}", _AGAIN)
