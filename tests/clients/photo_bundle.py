"""Edge bundles of small real models, made as a run makes them, but for the training: only a linear head is fitted.

The backbone is the committed one, the images are scikit-learn's digits and tiles of its two photographs. A model with
random weights would not do: its classes are nearly tied on every image, and any rounding decides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from sklearn.linear_model import LogisticRegression

from edgetune.modules.bundle.golden import Golden
from edgetune.modules.bundle.write import METRICS, Lineage, write_bundle
from edgetune.modules.contracts.bundle import BUNDLE_JSON, EXPECTED, GOLDEN, model_file
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.conversion.convert import convert
from edgetune.modules.evaluation.edge import evaluate
from edgetune.modules.evaluation.verdict import Thresholds
from edgetune.modules.litert.metadata import Description, add_metadata
from edgetune.modules.models.blocks import build_backbone
from edgetune.modules.settings.run import ModelSettings
from tests.tiny import model as tiny_model

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "mobilenet_v2_0.35_96_letters.safetensors"
VARIANTS = ("float32", "float16", "int8")
SIZE = 96
EACH = 45
# Not only ASCII: what a client shows must be what is in labels.txt.
LABELS = (*"0123456789", "blüte", "palast")
ABOUT = Description("Ziffern & Kacheln", "Tells digits from tiles of photographs", "the tests", "Apache-2.0")


@dataclass(frozen=True)
class Made:
    """A bundle, and images that its model was not fitted on, at its exact size."""

    folder: Path
    images: Path
    """.npy with uint8 `[N, S, S, 3]`, RGB."""

    def model(self, variant: str) -> Path:
        """Return a variant's file."""
        return self.folder / model_file(variant)

    def labels(self) -> list[str]:
        """Lines of `labels.txt`."""
        return (self.folder / LABELS_FILE).read_text(encoding="utf-8").splitlines()

    def thresholds(self) -> list[float | None]:
        """Return the threshold of each class, from `bundle.json`."""
        facts = json.loads((self.folder / BUNDLE_JSON).read_text(encoding="utf-8"))
        return facts["calibration"]["thresholds"]

    def golden(self) -> tuple[list[Path], list[dict]]:
        """Golden images, and what `expected.json` says of each."""
        entries = json.loads((self.folder / GOLDEN / EXPECTED).read_text(encoding="utf-8"))["images"]
        return [self.folder / GOLDEN / entry["file"] for entry in entries], entries


def make_bundle(folder: Path) -> Made:
    """Fits, saves, converts, evaluates and bundles the classifier of digits and tiles, all within `folder`."""
    images, truth = _tiles()
    train = for_training(truth)
    model = fitted(ModelSettings(alpha=0.35, image_size=SIZE, weights=str(WEIGHTS)), images[train], truth[train])
    saved_model = tiny_model.save(model, folder / "saved_model", LABELS)
    # Half of these would do for most, and on some processors leave int8 an image below its bound.
    edge_model = write_edge_model(folder / "edge_model", saved_model, images[train][::6], LABELS)
    pairs = [(tiny_model.png(image), LABELS[label]) for image, label in zip(images[~train], truth[~train], strict=True)]
    for split in ("eval", "test"):  # the same images, as only the thresholds come from eval
        tiny_model.write_raw(folder / "examples", split, pairs)
    evaluation = folder / "evaluation"
    golden = Golden(str(evaluation / GOLDEN), LABELS)
    thresholds = Thresholds(required=VARIANTS, max_accuracy_drop=0.02)
    metrics = evaluate(saved_model, str(edge_model), str(folder / "examples"), thresholds, golden)
    assert metrics["blessed"], metrics["reasons"]
    (evaluation / METRICS).write_text(json.dumps(metrics))
    digests = metrics["saved_model"]["sha256"], metrics["test"]["sha256"]
    write_bundle(folder / "bundle", str(edge_model), str(evaluation), Lineage("tiles", "c" * 64, *digests))
    np.save(folder / "images.npy", images[~train])
    return Made(folder / "bundle", folder / "images.npy")


def for_training(truth: np.ndarray) -> np.ndarray:
    """Whether each of the images with these labels is fitted on, bool `[N]`: the first two thirds of each class."""
    return np.array([np.sum(truth[:i] == label) < 2 / 3 * np.sum(truth == label) for i, label in enumerate(truth)])


def fitted(settings: ModelSettings, images: np.ndarray, truth: np.ndarray) -> keras.Model:
    """Return a backbone with the head that fits these images: uint8 `[N, S, S, 3]`, with labels `[N]`."""
    backbone = build_backbone(settings)
    pooled = keras.Model(backbone.input, keras.layers.GlobalAveragePooling2D()(backbone.output))
    head = keras.layers.Dense(int(truth.max()) + 1, activation="softmax")
    model = keras.Model(pooled.input, head(pooled.output))
    features = pooled.predict(images.astype(np.float32), batch_size=64, verbose=0)
    found = LogisticRegression(max_iter=100, tol=1e-3).fit(features, truth)
    head.set_weights([found.coef_.T, found.intercept_])
    return model


def write_edge_model(folder: Path, saved_model: str, representative: np.ndarray, labels: Sequence[str]) -> Path:
    """Convert all variants, write them to `folder` as EdgeExporter does, and return it."""
    folder.mkdir()
    for variant, content in convert(saved_model, VARIANTS, representative).items():
        (folder / model_file(variant)).write_bytes(add_metadata(content, labels, ABOUT))
    (folder / LABELS_FILE).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    return folder


def _tiles() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[N, 96, 96, 3]`, and indices into `LABELS`."""
    digits, rng = load_digits(), np.random.default_rng(1)
    images, truth = [], []
    for digit in range(10):
        for number in np.flatnonzero(digits.target == digit)[:EACH]:
            images.append(_resized(Image.fromarray(np.rint(digits.images[number] * (255 / 16)).astype(np.uint8))))
            truth.append(digit)
    samples = load_sample_images()
    for label, file in ((10, "flower.jpg"), (11, "china.jpg")):
        [photograph] = [image for image, name in zip(samples.images, samples.filenames, strict=True) if file in name]
        for _ in range(EACH):
            side = rng.integers(SIZE, 2 * SIZE)
            y, x = (rng.integers(0, length - side) for length in photograph.shape[:2])
            images.append(_resized(Image.fromarray(photograph[y : y + side, x : x + side])))
            truth.append(label)
    return np.stack(images), np.array(truth)


def _resized(image: Image.Image) -> np.ndarray:
    return np.array(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))
