"""Ways in which the folder of an artifact of examples can differ from what was written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path


def _shard(folder: Path, split: str = "test") -> Path:
    return sorted((folder / f"Split-{split}").iterdir())[0]


def _plant(name: str) -> Callable[[Path], Path]:
    def plant(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(_shard(folder), path)
        return path

    return plant


def _other_split(folder: Path) -> Path:
    _plant("Split-more/data-00000-of-00001.gz")(folder)
    return folder / "Split-more"


def _truncate(folder: Path) -> Path:
    path = _shard(folder)
    path.write_bytes(path.read_bytes()[:-1])
    return path


def _delete(folder: Path) -> Path:
    path = _shard(folder)
    path.unlink()
    return path


def _delete_split(folder: Path) -> Path:
    shutil.rmtree(folder / "Split-test")
    return folder / "Split-test"


def _unrecorded(folder: Path) -> Path:
    (folder / "shards.json").unlink()
    return folder / "shards.json"


def _other_record(folder: Path) -> Path:
    path = folder / "shards.json"
    path.write_text(path.read_text().replace('"records": ', '"records": 1'))
    return path


DAMAGES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "same total": (_plant("Split-test/data-00001-of-00001.gz"), "was not written with the artifact"),
    "other total": (_plant("Split-test/data-00001-of-00002.gz"), "was not written with the artifact"),
    "other prefix": (_plant("Split-test/other-00000-of-00001.gz"), "was not written with the artifact"),
    "hidden file": (_plant("Split-test/.DS_Store"), "was not written with the artifact"),
    "other split": (_other_split, "was not written with the artifact"),
    "truncated": (_truncate, "bytes instead of"),
    "deleted": (_delete, "is missing"),
    "deleted split": (_delete_split, "cannot be read"),
    "no record": (_unrecorded, "cannot be read"),
    "other record": (_other_record, "is not the file that was written with the artifact"),
}
"""A change of the folder that returns the path to be named, and the cause, by what it is. Needs a split `test`."""
