"""The report of ImageExampleGen: put together from what Beam's workers wrote, and judged.

ingest.json     files, accepted, rejected; images of each class in each split; digest of the data
rejected.csv    path and reason of every file that was not taken
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

from modules.errors import DataError
from modules.records import SPLITS

_NAMED = 10


@dataclass(frozen=True)
class Ingest:
    """What was read. Always `files == accepted + rejected`."""

    files: int
    accepted: int
    rejected: int
    splits: dict[str, dict[str, int]]
    """Images by class name by split."""
    data_digest: str
    """Stands for the images, their labels and their splits: 64 hexadecimal digits."""
    lost_classes: tuple[str, ...]
    """Class folders whose every file was rejected."""
    first_rejected: tuple[tuple[str, str], ...]
    """Path and reason of the first ones, by path."""


def counts_path(report_uri: str, split: str) -> str:
    """Where the tally of a split is written."""
    return f"{report_uri}/parts/counts-{split}.json"


def rejected_prefix(report_uri: str, pattern: str) -> str:
    """Beginning of the names of the files with what was rejected of one input pattern, as JSON lines."""
    return f"{report_uri}/parts/rejected-{hashlib.sha256(pattern.encode()).hexdigest()[:8]}"


def assemble(report_uri: str, folders_are_classes: bool) -> Ingest:
    """Writes `ingest.json` and `rejected.csv` from the parts, and removes those."""
    tallies = {split: json.loads(_read(counts_path(report_uri, split))) for split in SPLITS}
    rejected: list[dict[str, str]] = []
    for path in sorted(tf.io.gfile.glob(f"{report_uri}/parts/rejected-*")):
        rejected += [json.loads(line) for line in _read(path).splitlines()]
    rejected.sort(key=lambda row: row["path"])
    accepted = sum(sum(tally["classes"].values()) for tally in tallies.values())
    folders = {row["path"].split("/")[-2] for row in rejected} if folders_are_classes else set()
    digests = "".join(f"{split}:{tally['digest']}\n" for split, tally in tallies.items())
    ingest = Ingest(
        files=accepted + len(rejected),
        accepted=accepted,
        rejected=len(rejected),
        splits={split: tally["classes"] for split, tally in tallies.items()},
        data_digest=hashlib.sha256(digests.encode()).hexdigest(),
        lost_classes=tuple(sorted(folders.difference(*(tally["classes"] for tally in tallies.values())))),
        first_rejected=tuple((row["path"], row["reason"]) for row in rejected[:_NAMED]),
    )
    with tf.io.gfile.GFile(f"{report_uri}/rejected.csv", "w") as file:
        writer = csv.DictWriter(file, ["path", "reason"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rejected)
    content: dict[str, Any] = asdict(ingest)
    del content["first_rejected"]
    with tf.io.gfile.GFile(f"{report_uri}/ingest.json", "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
    tf.io.gfile.rmtree(f"{report_uri}/parts")
    return ingest


def check(ingest: Ingest, max_rejected: float) -> None:
    """Stops a run on data that cannot be trained on.

    Raises:
        DataError: Nothing was readable; more than `max_rejected` of the files were not; a class of which nothing was;
            a class is absent from a split; a name of a class that no line of a text file can hold.
    """
    share = ingest.rejected / max(ingest.files, 1)
    if share > max_rejected or not ingest.accepted:
        named = "".join(f"\n    {path}: {reason}" for path, reason in ingest.first_rejected)
        raise DataError(
            f"{ingest.rejected} of {ingest.files} files ({share:.1%}) cannot be used as images, more than "
            f"data.max_rejected {max_rejected:.1%} allows. The first ones:{named}",
            "repair or remove the files, or raise data.max_rejected",
        )
    classes = sorted(set().union(*ingest.splits.values()))
    if unprintable := [name for name in classes if not name.isprintable() or not name.strip()]:
        raise DataError(
            f"the class name {unprintable[0]!r} is empty or has characters that cannot be printed",
            "rename the class: labels.txt has one name in each line",
        )
    if ingest.lost_classes:
        raise DataError(
            f"no file of {', '.join(ingest.lost_classes[:_NAMED])} can be used as an image",
            "repair the files, or remove the class folder",
        )
    for split, counts in ingest.splits.items():
        if missing := [name for name in classes if name not in counts]:
            raise DataError(
                f"the split {split} has no image of {', '.join(missing[:_NAMED])}",
                "add images of the class; where edgetune splits, data.splits can give the split a larger share",
            )


def _read(path: str) -> str:
    with tf.io.gfile.GFile(path, "r") as file:
        return file.read()
