"""Assemble ImageExampleGen's report from the parts that Beam's workers wrote, and check it.

ingest.json     counts of files, accepted, rejected and not images; images of each class in each split, and
                deviations from the shares; digest of the data; read options
rejected.csv    path and reason of every rejected file
samples.json    some files of each class in each split, for the report: `{split: {class: [file]}}`
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import tensorflow as tf

from edgetune.components.common.names import INGEST_FILE, REJECTED_FILE, SAMPLES_FILE
from edgetune.components.image_example_gen.row_kinds import LEFT_OUT, NOT_IMAGE
from edgetune.components.image_example_gen.split_counts import SplitCounts
from edgetune.modules.contracts.example_features import SPLITS
from edgetune.modules.core.errors import DataError
from edgetune.modules.core.untrusted_text import as_cell, is_printable, of_cell, printable
from edgetune.modules.data.groups import UNMATCHED, check_largest
from edgetune.modules.data.splits import deviations
from edgetune.modules.storage import filesystem

_NAMED = 10


@dataclass(frozen=True)
class Ingest:
    """Result of reading the data; `files == accepted + rejected + not_images`."""

    files: int
    accepted: int
    rejected: int
    splits: dict[str, dict[str, int]]
    """Number of images by split and class name."""
    data_digest: str
    """Digest of the images, their labels and their splits: 64 hexadecimal digits."""
    lost_classes: tuple[str, ...]
    """Classes that had all their files rejected."""
    first_rejected: tuple[tuple[str, str], ...]
    """Path and reason of the first unusable files, sorted by path."""
    damaged: tuple[tuple[str, str], ...] = ()
    """Path and reason of damaged TFRecord files, which have lost an unknown number of records."""
    left_out: int = 0
    """Number of rejected files that are usable, and were left out: near-duplicates, and folders without a label."""
    not_images: int = 0
    """Number of files that are no images by name and content, which `data.max_rejected` does not count."""
    not_images_by_kind: Mapping[str, int] = field(default_factory=dict)
    """Their number by ending, or that they are hidden."""
    deviations: Mapping[str, Mapping[str, tuple[int, float]]] = field(default_factory=dict)
    """Actual and expected number of images, by split and class, if they differ by more than one image."""
    largest_group: tuple[int, str] | None = None
    """Number of images in the largest group of `data.group`, and one of its files; None if it is not set, or if the
    data have their own splits."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """Read options `max_pixels`, `max_side` and `background`, named as the settings; empty if not recorded."""


def create_parts_folder(report_uri: str) -> None:
    """Create the folder of all parts, since not every writer does."""
    tf.io.gfile.makedirs(f"{report_uri}/parts")


def counts_path(report_uri: str, split: str) -> str:
    """Return the path for the counts of a split."""
    return f"{report_uri}/parts/counts-{split}.json"


def largest_path(report_uri: str) -> str:
    """Return the path for the size of the largest group of `data.group`."""
    return f"{report_uri}/parts/largest-group.json"


def rejected_prefix(report_uri: str) -> str:
    """Return the path prefix of the JSON lines about files that were not accepted, as in `row_kinds`."""
    return f"{report_uri}/parts/rejected"


def images_prefix(report_uri: str, split: str) -> str:
    """Return the path prefix of the files with the staged images of one input split."""
    return f"{report_uri}/parts/images-{split}"


def assemble(
    report_uri: str, shares: Mapping[str, int] | None = None, reading: Mapping[str, Any] | None = None
) -> Ingest:
    """Write `ingest.json`, `rejected.csv` and `samples.json` from the parts, and remove the parts.

    Args:
        report_uri: Folder of the parts and of the report.
        shares: Relative size by split; None if the data have their own splits.
        reading: Read options to record.
    """
    counts = {split: _counts(counts_path(report_uri, split)) for split in SPLITS}
    largest = largest_path(report_uri)
    rejected: list[dict[str, Any]] = []
    for path in tf.io.gfile.glob(f"{rejected_prefix(report_uri)}*"):
        rejected += [json.loads(line) for line in _read(path).splitlines()]
    others = Counter(row[NOT_IMAGE] for row in rejected if row.get(NOT_IMAGE))
    rejected = [row for row in rejected if not row.get(NOT_IMAGE)]
    rejected.sort(key=lambda row: row["path"])
    unusable = [row for row in rejected if not row.get(LEFT_OUT)]
    splits = {split: found["classes"] for split, found in counts.items()}
    accepted = sum(sum(classes.values()) for classes in splits.values())
    labels = {row["label"] for row in unusable if row["label"]}
    digests = "".join(f"{split}:{found['digest']}\n" for split, found in counts.items())
    ingest = Ingest(
        files=accepted + len(rejected) + others.total(),
        accepted=accepted,
        rejected=len(rejected),
        splits=splits,
        data_digest=hashlib.sha256(digests.encode()).hexdigest(),
        lost_classes=tuple(sorted(labels.difference(*splits.values()))),
        first_rejected=tuple((row["path"], row["reason"]) for row in unusable[:_NAMED]),
        damaged=tuple((row["path"], row["reason"]) for row in unusable if row["damaged"]),
        left_out=len(rejected) - len(unusable),
        not_images=others.total(),
        not_images_by_kind=dict(sorted(others.items())),
        deviations=deviations(splits, shares) if shares else {},
        largest_group=tuple(json.loads(filesystem.read(largest))) if filesystem.exists(largest) else None,
        reading=dict(reading or {}),
    )
    with tf.io.gfile.GFile(f"{report_uri}/{REJECTED_FILE}", "wb") as file:
        file.write(_as_csv(rejected))
    with tf.io.gfile.GFile(f"{report_uri}/{INGEST_FILE}", "w") as file:
        file.write(json.dumps(content(ingest), indent=2) + "\n")
    samples = {split: found["samples"] for split, found in counts.items()}
    filesystem.write(f"{report_uri}/{SAMPLES_FILE}", json.dumps(samples).encode() + b"\n")
    tf.io.gfile.rmtree(f"{report_uri}/parts")
    return ingest


def content(ingest: Ingest) -> dict[str, Any]:
    """Return the content of `ingest.json`."""
    found = asdict(ingest)
    for name in ("first_rejected", "damaged"):
        del found[name]
    return found


def digest(report_uri: str) -> str:
    """Return the SHA-256 of `ingest.json`, as 64 hexadecimal digits."""
    return hashlib.sha256(_read(f"{report_uri}/{INGEST_FILE}").encode()).hexdigest()


def rejected_rows(report_uri: str, most: int) -> list[dict[str, str]]:
    """Return up to `most` rows from the top of `rejected.csv`."""
    return list(itertools.islice(_rows(_read(f"{report_uri}/{REJECTED_FILE}")), most))


def _rows(text: str) -> Iterator[dict[str, str]]:
    """Yield the rows of `rejected.csv` as they were before they became cells."""
    for row in csv.DictReader(io.StringIO(text, newline="")):
        yield {key: of_cell(value or "") for key, value in row.items() if key}


def keep_rejected(report_uri: str) -> str:
    """Copy `rejected.csv` beside the report, because TFX removes the report when the component fails.

    Returns:
        Path of the copy.
    """
    kept = f"{report_uri.rstrip('/')}-{REJECTED_FILE}"
    tf.io.gfile.copy(f"{report_uri}/{REJECTED_FILE}", kept, overwrite=True)
    return kept


def check(ingest: Ingest, max_rejected: float) -> None:
    """Stop the run if the data cannot be trained on.

    Raises:
        DataError: A TFRecord file is damaged; no file is usable; more than `max_rejected` of the files are not usable;
            a class has no usable file; a class is missing from a split; a class name does not fit into one line of
            text; or `data.group` matches nothing, or puts more than half of the images that are divided into one group.
    """
    if ingest.damaged:
        path, reason = ingest.damaged[0]
        more = "".join(f"\n    {printable(path)}: {printable(reason)}" for path, reason in ingest.damaged[1:_NAMED])
        raise DataError(
            f"{printable(path)}: {printable(reason)}{more}",
            "write or copy the file again, or remove it; the number of images that it has lost is unknown",
        )
    reasons = [reason for _, reason in ingest.first_rejected]
    if not ingest.accepted and reasons and all(reason.startswith(UNMATCHED) for reason in reasons):
        path, reason = ingest.first_rejected[0]
        raise DataError(
            f"data.group matches the path of no image, such as {printable(path)}: {printable(reason)}",
            "correct the regular expression; it is searched for in the path below data.path",
        )
    if ingest.largest_group:
        size, file = ingest.largest_group
        check_largest(size, ingest.accepted, printable(file))
    unusable, files = ingest.rejected - ingest.left_out, ingest.files - ingest.not_images
    share = unusable / max(files, 1)
    if share > max_rejected or not ingest.accepted:
        named = "".join(f"\n    {printable(path)}: {printable(reason)}" for path, reason in ingest.first_rejected)
        raise DataError(
            f"{unusable} of {files} files ({share:.1%}) cannot be used as images, more than "
            f"data.max_rejected {max_rejected:.1%} allows. The first ones:{named}",
            "repair or remove the files, or raise data.max_rejected",
        )
    classes = sorted(set().union(*ingest.splits.values()))
    if unprintable := [name for name in classes if not is_printable(name) or not name.strip()]:
        raise DataError(
            f"the class name {unprintable[0]!r} is empty or has characters that cannot be printed",
            "rename the class; labels.txt has one name on each line",
        )
    if ingest.lost_classes:
        raise DataError(
            f"no file of class {', '.join(ingest.lost_classes[:_NAMED])} can be used as an image",
            "repair the files, or remove the class folder",
        )
    for split, counts in ingest.splits.items():
        if missing := [name for name in classes if name not in counts]:
            raise DataError(
                f"the split {split} has no image of class {', '.join(missing[:_NAMED])}",
                "add images of the class; if edgetune makes the splits, data.splits can give this one a larger share"
                + ("; with data.group, each class must be in at least three groups" if ingest.largest_group else ""),
            )


def _counts(path: str) -> dict[str, Any]:
    """Return the counts of a split; a split without images has no file of counts."""
    if filesystem.exists(path):
        return dict(json.loads(filesystem.read(path)))
    return SplitCounts().extract_output(SplitCounts().create_accumulator())


def _as_csv(rejected: list[dict[str, Any]]) -> bytes:
    """Return the CSV with all values quoted, for names with line breaks or commas, and non-UTF-8 bytes as escapes.

    A value that a spreadsheet would compute begins with an apostrophe.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["path", "reason"], extrasaction="ignore", lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows({key: as_cell(str(row[key])) for key in ("path", "reason")} for row in rejected)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _read(path: str) -> str:
    with tf.io.gfile.GFile(path, "r") as file:
        return file.read()
