"""The edge bundle: the folder that a mobile engineer gets, with only what was measured and blessed in it.

model_<variant>.tflite   each blessed variant
labels.txt               class names in the order of the output, also inside each file
bundle.json              input and output contract, what was measured of each variant, the run's lineage
golden/                  images of the exact size, and the probabilities each variant must give
MODEL_CARD.md            the same for people
SHA256SUMS               digests of all other files, for `sha256sum -c`; written last
model.sig                the signature of all of them, where EdgePusher has a key
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf

from edgetune.modules.bundle.golden import SAVED_MODEL
from edgetune.modules.bundle.model_card import model_card
from edgetune.modules.contracts.bundle import BUNDLE_JSON, CHECKSUMS, EXPECTED, FORMAT, GOLDEN, MODEL_CARD
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.core.errors import ExportError

METRICS = "metrics.json"


@dataclass(frozen=True)
class Lineage:
    """Where a bundle comes from: names and digests, never a path of the machine that made it."""

    pipeline: str
    config_digest: str
    saved_model_sha256: str
    test_data_sha256: str
    """Over the encoded images and labels of the test split."""
    code: dict[str, str] = field(default_factory=dict)
    """Digest of the code that made each artifact, by the artifact's name, where it is recorded."""
    versions: dict[str, dict[str, str | None] | None] = field(default_factory=dict)
    """By step, versions by name of what did it, null for a library that was not installed; None where the artifact has
    no record, as those of edgetune 0.1.0."""
    data_digest: str = ""
    """Over the pixels and labels of all splits, as ImageExampleGen takes it; empty where it is not recorded."""


def read_metrics(evaluation: str) -> dict[str, Any]:
    """`metrics.json` of an edge evaluation.

    Raises:
        ExportError: It is not there, or no JSON.
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
) -> dict[str, Any]:
    """Writes a bundle.

    Args:
        folder: An empty folder, or one to be made.
        edge_model: Folder of `model_<variant>.tflite` and `labels.txt`.
        evaluation: Folder of `metrics.json` and `golden/`, measured on just these files.
        lineage: Where all of it comes from.
        about: What people say of the model, for its card: `description`, `author`, `license`, `data`, `intended_use`
            and `limits`; what is absent or empty was not said.
        images: Number of images by class name by split, where it is known.
        reading: How images were read before they became the model's input: `max_side` and `background`, as the
            settings of these names; empty where it is not known.

    Returns:
        What stands in `bundle.json`.

    Raises:
        ExportError: No variant is blessed, or a file is not the one that was measured.
    """
    metrics = read_metrics(evaluation)
    blessed = {name: facts for name, facts in metrics["variants"].items() if facts["blessed"]}
    if not metrics["blessed"] or not blessed:
        raise ExportError(f"{evaluation}: no variant is blessed", "nothing of it may be delivered")
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
        "labels": metrics["labels"],
        "input": {
            "shape": [1, size, size, 3],
            "layout": "NHWC, RGB",
            "range": [0, 255],
            "normalisation": "none: it is a layer of the model",
            "resize": "stretch to the square, bilinear with antialiasing",
            **({"reading": dict(reading)} if reading else {}),
        },
        "output": {"shape": [1, len(metrics["labels"])], "dtype": "float32", "meaning": "probabilities"},
        "variants": blessed,
        "saved_model": metrics["saved_model"],
        "test": metrics["test"],
        "runtime": metrics["runtime"],
        "thresholds": metrics["thresholds"],
        "about": {name: text for name, text in (about or {}).items() if text},
        "images": images or {},
        "lineage": asdict(lineage),
    }
    (folder / BUNDLE_JSON).write_bytes((json.dumps(bundle, indent=1, ensure_ascii=False) + "\n").encode())
    (folder / MODEL_CARD).write_bytes(model_card(bundle).encode())
    write_checksums(folder)
    return bundle


def write_checksums(folder: Path) -> None:
    """Writes `SHA256SUMS` over all other files of a folder, in the form that `sha256sum -c` reads."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in files
    ]
    (folder / CHECKSUMS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _copy_golden(source: str, target: Path, variants: set[str]) -> None:
    """Copies the golden images; of the expected probabilities those of the SavedModel and of what is delivered."""
    if not tf.io.gfile.exists(f"{source}/{EXPECTED}"):
        raise ExportError(f"{source}/{EXPECTED}: is missing", "evaluate the edge model again")
    target.mkdir()
    expected = json.loads(_read(f"{source}/{EXPECTED}"))
    for image in expected["images"]:
        (target / image["file"]).write_bytes(_read(f"{source}/{image['file']}"))
        kept = {who: p for who, p in image["probabilities"].items() if who == SAVED_MODEL or who in variants}
        image["probabilities"] = kept
    (target / EXPECTED).write_bytes((json.dumps(expected, indent=1, ensure_ascii=False) + "\n").encode())


def _read(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        return bytes(file.read())
