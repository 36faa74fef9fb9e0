"""The images that the report shows: samples of each class, notable answers, rejected files, and those of findings.

Their number and their bytes are bounded, so that the page stays below 5 MB for any number of classes and images.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from edgetune.components.common.names import (
    EDGE_EVALUATOR,
    EVALUATION_KEY,
    IMAGE_EXAMPLE_GEN,
    REPORT_KEY,
    SAMPLES_FILE,
)
from edgetune.pipeline.metadata.outcome import Outcome
from edgetune.pipeline.report.artifacts import Absent, folder, number, read_json
from edgetune.pipeline.report.originals import SIDE, Originals, encoded

NOTABLE_FILE = "notable.json"
"""EdgeEvaluator's (`modules.evaluation.notable`)."""
MAX_REJECTED_PICTURES = 24
SAMPLES = 3
"""Images of each class and split."""
MAX_SAMPLED_CLASSES = 100
MANY_CLASSES = 20
"""Above this number of classes, one sample of each class and split is shown."""
MAX_FOUND_BYTES = 1_500_000
"""Characters of all thumbnails of findings, in Base64; if they have more, they become coarser."""
_MAX_STORED = 20_000
"""Characters of a thumbnail that an artifact holds: more than any that edgetune writes."""


def samples(outcome: Outcome, originals: Originals) -> list[dict[str, Any]]:
    """Return some images of each class in each split, from the files in the data's folder.

    Raises:
        Absent: The run recorded no samples, or none of them can be shown.
    """
    uri = folder(outcome.node(IMAGE_EXAMPLE_GEN), REPORT_KEY, SAMPLES_FILE)
    splits: dict[str, dict[str, list[str]]] = read_json(f"{uri}/{SAMPLES_FILE}")
    classes = sorted({name for of_class in splits.values() for name in of_class})
    most = SAMPLES if len(classes) <= MANY_CLASSES else 1
    rows: list[dict[str, Any]] = [
        {"name": name, "splits": {split: [] for split in splits}, "of": len(classes), "missing": []}
        for name in classes[:MAX_SAMPLED_CLASSES]
    ]
    # First one of each, should the time not be enough for all.
    for at in range(most):
        for row in rows:
            for split, of_class in splits.items():
                for file in of_class.get(row["name"], [])[at : at + 1]:
                    thumbnail = originals.thumbnail(str(file))
                    if thumbnail.jpeg:
                        row["splits"][split].append({"file": str(file), "jpeg": thumbnail.jpeg})
                    else:
                        row["missing"].append(thumbnail.why)
    missing = [why for row in rows for why in row["missing"]]
    if not any(pictures for row in rows for pictures in row["splits"].values()):
        raise Absent(f"No samples can be shown from the data's folder: {(missing or ['there are none'])[0]}.")
    return rows


def notable(outcome: Outcome) -> dict[str, list[dict[str, Any]]]:
    """Return the most confident mistakes and the least certain right answers, by kind.

    Raises:
        Absent: EdgeEvaluator wrote none.
    """
    uri = folder(outcome.node(EDGE_EVALUATOR), EVALUATION_KEY, NOTABLE_FILE)
    kinds: dict[str, list[dict[str, Any]]] = {"mistake": [], "uncertain": []}
    for answer in read_json(f"{uri}/{NOTABLE_FILE}"):
        kinds[answer["kind"]].append(
            {
                "file": str(answer["file"]),
                "label": str(answer["label"]),
                "answers": [{"name": str(name), "probability": number(share)} for name, share in answer["answers"]],
                "jpeg": _stored(answer["jpeg"]),
                "looked": _stored(answer["looked"]),
            }
        )
    return kinds


def _stored(jpeg: Any) -> str:
    return str(jpeg) if len(str(jpeg)) <= _MAX_STORED else ""


def rejected(files: Iterable[Mapping[str, str]], originals: Originals) -> list[dict[str, str]]:
    """Return rejected files with their reasons, and a thumbnail of each or why it has none.

    Args:
        files: `path` and `reason` of each.
        originals: The data's folder.
    """
    shown = []
    for at, file in enumerate(files):
        if at < MAX_REJECTED_PICTURES:
            thumbnail = originals.thumbnail(file["path"])
            # The same sentence twice would say nothing more.
            why = "see the reason" if thumbnail.why == file["reason"] else thumbnail.why
            shown.append({**file, "jpeg": thumbnail.jpeg, "why": why})
        else:
            shown.append({**file, "jpeg": "", "why": ""})
    return shown


def complete(findings: list[dict[str, Any]], originals: Originals) -> list[dict[str, Any]]:
    """Give the pictures of findings that have no thumbnail one from the data's folder, and bound the bytes of all."""
    for finding in findings:
        for picture in finding["pictures"]:
            if not picture["jpeg"]:
                picture["jpeg"] = originals.thumbnail(picture["file"]).jpeg
    pictures = [picture for finding in findings for picture in finding["pictures"]]
    if sum(len(picture["jpeg"]) for picture in pictures) > MAX_FOUND_BYTES:
        each = MAX_FOUND_BYTES // len(pictures)
        for picture in pictures:
            if len(picture["jpeg"]) > each:
                picture["jpeg"] = _coarser(picture["jpeg"], each)
    return findings


def _coarser(jpeg: str, characters: int) -> str:
    """Return a thumbnail with at most this many characters; empty if it cannot be read."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(jpeg)), formats=("JPEG",)) as image:
            if max(image.size) > SIDE:
                return ""
            return encoded(np.asarray(image.convert("RGB")), characters * 3 // 4 - 3)
    except (OSError, ValueError):
        return ""
