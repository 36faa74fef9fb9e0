"""The report of ImageExampleGen: put together from what Beam's workers wrote, and judged.

ingest.json     files, accepted, rejected; images of each class in each split, and where that is off its share;
                digest of the data; how images were read
rejected.csv    path and reason of every file that was not taken
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import tensorflow as tf

from edgetune.modules.contracts.example_features import SPLITS
from edgetune.modules.core.errors import DataError
from edgetune.modules.data.splits import deviations

REJECTED_FILE = "rejected.csv"
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
    """Classes whose every file was rejected."""
    first_rejected: tuple[tuple[str, str], ...]
    """Path and reason of the first ones that are not usable, by path."""
    damaged: tuple[tuple[str, str], ...] = ()
    """Path and reason of files of records of which nobody knows how many records are lost."""
    left_out: int = 0
    """Files among the rejected ones that are usable, and left out because of what they resemble."""
    deviations: Mapping[str, Mapping[str, tuple[int, float]]] = field(default_factory=dict)
    """Images, and what the share would be, by split by class, where those differ by more than one image."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How images were read: `max_side` and `background`, as the settings of these names, where they are recorded."""


def make_room(report_uri: str) -> None:
    """Makes the folder of all parts: not every writer does."""
    tf.io.gfile.makedirs(f"{report_uri}/parts")


def counts_path(report_uri: str, split: str) -> str:
    """Where the tally of a split is written."""
    return f"{report_uri}/parts/counts-{split}.json"


def rejected_prefix(report_uri: str, pattern: str) -> str:
    """Beginning of the names of the files with what was rejected of one input pattern, as JSON lines."""
    return f"{report_uri}/parts/rejected-{hashlib.sha256(pattern.encode()).hexdigest()[:8]}"


def images_prefix(report_uri: str, split: str) -> str:
    """Beginning of the names of the files with the images that were read of one input split."""
    return f"{report_uri}/parts/images-{split}"


def left_out_prefix(report_uri: str) -> str:
    """Beginning of the names of the files with what is left out because of what it resembles, as JSON lines."""
    return f"{report_uri}/parts/left_out"


def assemble(
    report_uri: str, shares: Mapping[str, int] | None = None, reading: Mapping[str, Any] | None = None
) -> Ingest:
    """Writes `ingest.json` and `rejected.csv` from the parts, and removes those.

    Args:
        report_uri: Where the parts are, and where the report is written.
        shares: Relative size by split; None where the data has its own splits.
        reading: How images were read.
    """
    tallies = {split: json.loads(_read(counts_path(report_uri, split))) for split in SPLITS}
    rejected: list[dict[str, Any]] = []
    for path in sorted(tf.io.gfile.glob(f"{report_uri}/parts/rejected-*")):
        rejected += [json.loads(line) for line in _read(path).splitlines()]
    unusable = sorted(rejected, key=lambda row: row["path"])
    for path in tf.io.gfile.glob(f"{left_out_prefix(report_uri)}*"):
        rejected += [json.loads(line) for line in _read(path).splitlines()]
    rejected.sort(key=lambda row: row["path"])
    accepted = sum(sum(tally["classes"].values()) for tally in tallies.values())
    labels = {row["label"] for row in unusable if row["label"]}
    digests = "".join(f"{split}:{tally['digest']}\n" for split, tally in tallies.items())
    ingest = Ingest(
        files=accepted + len(rejected),
        accepted=accepted,
        rejected=len(rejected),
        splits={split: tally["classes"] for split, tally in tallies.items()},
        data_digest=hashlib.sha256(digests.encode()).hexdigest(),
        lost_classes=tuple(sorted(labels.difference(*(tally["classes"] for tally in tallies.values())))),
        first_rejected=tuple((row["path"], row["reason"]) for row in unusable[:_NAMED]),
        damaged=tuple((row["path"], row["reason"]) for row in unusable if row["damaged"]),
        left_out=len(rejected) - len(unusable),
        deviations=deviations({split: tally["classes"] for split, tally in tallies.items()}, shares) if shares else {},
        reading=dict(reading or {}),
    )
    with tf.io.gfile.GFile(f"{report_uri}/{REJECTED_FILE}", "wb") as file:
        file.write(_as_csv(rejected))
    with tf.io.gfile.GFile(f"{report_uri}/ingest.json", "w") as file:
        file.write(json.dumps(content(ingest), indent=2) + "\n")
    tf.io.gfile.rmtree(f"{report_uri}/parts")
    return ingest


def content(ingest: Ingest) -> dict[str, Any]:
    """What `ingest.json` holds."""
    found = asdict(ingest)
    for name in ("first_rejected", "damaged"):
        del found[name]
    return found


def rejected_rows(report_uri: str, most: int) -> list[dict[str, str]]:
    """The first rows of `rejected.csv`."""
    return list(itertools.islice(csv.DictReader(io.StringIO(_read(f"{report_uri}/{REJECTED_FILE}"))), most))


def keep_rejected(report_uri: str) -> str:
    """Copies `rejected.csv` beside the report, which TFX removes when the component fails.

    Returns:
        Where it is now.
    """
    kept = f"{report_uri.rstrip('/')}-{REJECTED_FILE}"
    tf.io.gfile.copy(f"{report_uri}/{REJECTED_FILE}", kept, overwrite=True)
    return kept


def check(ingest: Ingest, max_rejected: float) -> None:
    """Stops a run on data that cannot be trained on.

    Raises:
        DataError: A file of records is damaged; nothing was readable; more than `max_rejected` of the files were not; a
            class of which nothing was; a class is absent from a split; a name of a class that no line of a text file
            can hold.
    """
    if ingest.damaged:
        path, reason = ingest.damaged[0]
        more = "".join(f"\n    {_printable(path)}: {_printable(reason)}" for path, reason in ingest.damaged[1:_NAMED])
        raise DataError(
            f"{_printable(path)}: {_printable(reason)}{more}",
            "make or copy the file anew, or take it away: how many images it has lost cannot be known",
        )
    unusable = ingest.rejected - ingest.left_out
    share = unusable / max(ingest.files, 1)
    if share > max_rejected or not ingest.accepted:
        named = "".join(f"\n    {_printable(path)}: {_printable(reason)}" for path, reason in ingest.first_rejected)
        raise DataError(
            f"{unusable} of {ingest.files} files ({share:.1%}) cannot be used as images, more than "
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


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _as_csv(rejected: list[dict[str, Any]]) -> bytes:
    """All values quoted, for names that have line breaks or commas; what is not UTF-8 in a name as an escape."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["path", "reason"], extrasaction="ignore", lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rejected)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _read(path: str) -> str:
    with tf.io.gfile.GFile(path, "r") as file:
        return file.read()
