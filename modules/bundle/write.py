"""Write the edge bundle: the folder for a mobile engineer, with the variants that were measured and blessed.

model_<variant>.tflite   each blessed variant
labels.txt               class names in the order of the output, also inside each model file
bundle.json              input and output contract, thresholds of the classes, measurements, the run's lineage
golden/                  images of the input size, and the probabilities that each variant must give
MODEL_CARD.md            the content of bundle.json for people
SHA256SUMS               digests of all other files, for `sha256sum -c`; written last
model.sig                signature of all files, if ReleasePusher has a key
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf

from edgetune.modules.bundle.golden import SAVED_MODEL
from edgetune.modules.bundle.model_card import model_card
from edgetune.modules.contracts.bundle import (
    BUNDLE_JSON,
    CHECKSUMS,
    EXPECTED,
    FORMAT,
    GOLDEN,
    INPUT_RANGES,
    MODEL_CARD,
)
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.core.errors import ExportError

METRICS = "metrics.json"


@dataclass(frozen=True)
class Lineage:
    """Origin of a bundle: names and digests, never a path on the machine that made it."""

    pipeline: str
    config_digest: str
    saved_model_sha256: str
    test_data_sha256: str
    """Digest of the encoded images and labels of the test split."""
    code: dict[str, str] = field(default_factory=dict)
    """Digest of the code that made each artifact, by the artifact's name, if it is recorded."""
    versions: dict[str, dict[str, str | None] | None] = field(default_factory=dict)
    """Library versions by library by step: None for a library that was not installed, and for a step whose artifact has
    no record, as those of edgetune 0.1.0."""
    data_digest: str = ""
    """ImageExampleGen's digest of the pixels and labels of all splits; empty if it is not recorded."""
    weights_sha256: str = ""
    """Digest of the values of all variables and of the class names; empty if it was not measured."""


def read_metrics(evaluation: str) -> dict[str, Any]:
    """Return the `metrics.json` of an edge evaluation.

    Raises:
        ExportError: It is missing or not JSON.
    """
    path = f"{evaluation}/{METRICS}"
    try:
        return dict(json.loads(_read(path)))
    except (tf.errors.NotFoundError, ValueError) as error:
        raise ExportError(f"{path}: cannot be read ({type(error).__name__})", "evaluate the edge model again") from None


def write_bundle(
    folder: Path,
    edge_model: str,
    evaluation: str,
    lineage: Lineage,
    about: Mapping[str, str] | None = None,
    images: Mapping[str, Mapping[str, int]] | None = None,
    reading: Mapping[str, Any] | None = None,
    gates: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Write a bundle.

    Args:
        folder: An empty folder, or one to create.
        edge_model: Folder with `model_<variant>.tflite` and `labels.txt`.
        evaluation: Folder with `metrics.json` and `golden/`, measured on these files.
        lineage: Origin of the bundle.
        about: Texts for the model card: `description`, `author`, `license`, `data`, `intended_use` and `limits`; an
            absent or empty text counts as not stated.
        images: Number of images by class name by split, if known.
        reading: How images were read before they became the model's input: `max_pixels`, `max_side` and `background`,
            as the settings of these names; empty if not known.
        gates: The gates that the SavedModel passed, as JSON values; each variant's are among its measurements.

    Returns:
        The content of `bundle.json`.

    Raises:
        ExportError: No variant is blessed, or a file is not the one that was measured.
    """
    metrics = read_metrics(evaluation)
    blessed = {name: facts for name, facts in metrics["variants"].items() if facts["blessed"]}
    if not metrics["blessed"] or not blessed:
        raise ExportError(f"{evaluation}: no variant is blessed", "train and evaluate a model that passes the gate")
    folder.mkdir(parents=True, exist_ok=True)
    for name, facts in blessed.items():
        content = _read(f"{edge_model}/{facts['file']}")
        if hashlib.sha256(content).hexdigest() != facts["sha256"]:
            raise ExportError(f"{edge_model}/{facts['file']}: is not the file that was measured", "export again")
        (folder / facts["file"]).write_bytes(content)
        blessed[name] = {key: value for key, value in facts.items() if key not in ("blessed", "reasons")}
    labels = "".join(f"{label}\n" for label in metrics["labels"])
    (folder / LABELS_FILE).write_bytes(labels.encode())
    _copy_golden(f"{evaluation}/{GOLDEN}", folder / GOLDEN, set(blessed))
    size = metrics["image_size"]
    bundle = {
        "format": FORMAT,
        "date": metrics.get("date"),
        "run": metrics.get("run"),
        "labels": metrics["labels"],
        "input": {
            "shape": [1, size, size, 3],
            "layout": "NHWC, RGB",
            **_range(*INPUT_RANGES[metrics.get("input_range", "raw")]),
            "resize": "stretch to the square, bilinear with antialiasing",
            **({"reading": dict(reading)} if reading else {}),
        },
        "output": {"shape": [1, len(metrics["labels"])], "dtype": "float32", "meaning": "probabilities"},
        "variants": blessed,
        "saved_model": metrics["saved_model"],
        "test": metrics["test"],
        "runtime": metrics["runtime"],
        "thresholds": metrics["thresholds"],
        "gates": [dict(gate) for gate in gates],
        "calibration": metrics["calibration"],
        "about": {name: text for name, text in (about or {}).items() if text},
        "images": images or {},
        "lineage": asdict(lineage),
    }
    (folder / BUNDLE_JSON).write_bytes((json.dumps(bundle, indent=1, ensure_ascii=False) + "\n").encode())
    (folder / MODEL_CARD).write_bytes(model_card(bundle).encode())
    write_checksums(folder)
    return bundle


def _range(mean: float, std: float) -> dict[str, Any]:
    """Return what `input` says of the values that the float variants take."""
    how = "none: it is a layer of the model"
    if (mean, std) != INPUT_RANGES["raw"]:
        how = f"(level - {mean:g}) / {std:g} of each channel's level, 0 to 255; int8 takes the level itself"
    low, high = ((level - mean) / std for level in (0, 255))
    return {"range": [low, high], "normalisation": how, "mean": mean, "std": std}


def write_checksums(folder: Path) -> None:
    """Write `SHA256SUMS` for all other files of a folder, in the format that `sha256sum -c` reads."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in files
    ]
    (folder / CHECKSUMS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _copy_golden(source: str, target: Path, variants: set[str]) -> None:
    """Copy the golden images, with the expected probabilities of the SavedModel and of the given variants."""
    if not tf.io.gfile.exists(f"{source}/{EXPECTED}"):
        raise ExportError(f"{source}/{EXPECTED}: is missing", "evaluate the edge model again")
    target.mkdir()
    expected = json.loads(_read(f"{source}/{EXPECTED}"))
    for image in expected["images"]:
        (target / image["file"]).write_bytes(_read(f"{source}/{image['file']}"))
        image["probabilities"] = {
            name: values for name, values in image["probabilities"].items() if name == SAVED_MODEL or name in variants
        }
    (target / EXPECTED).write_bytes((json.dumps(expected, indent=1, ensure_ascii=False) + "\n").encode())


def _read(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        return bytes(file.read())
