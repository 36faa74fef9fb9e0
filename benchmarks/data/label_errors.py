"""How many of the labels that were flipped on purpose are found, and what else is listed.

    python -m benchmarks.data.label_errors --data DIR [DIR ...] --weights FILE [--share S] [--seeds N]

For each seed, the share S of the labels in the class folders of each DIR is replaced by another class at random. Each
image is judged out of fold, as LabelReviewer does (`modules.data.label_errors`), on features of MobileNetV2 1.0 at 224
px, with groups of near-duplicates together. Printed are means over the seeds, and the smallest:

    precision = recall    share of the first S of all images, ordered by a score, that were flipped; by three scores:
                          self-confidence, the normalized margin, and the order of confident learning
    list                  what LabelReviewer lists: its length as a share of all images, its precision and its recall

Then 14 images of each other DIR are added to a DIR: how many of these, and of its own images, are outliers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.lib.measure import cpu_name
from edgetune.modules.data.label_errors import accuracy, out_of_fold, outliers, suspects
from edgetune.modules.data.near_duplicates import alike
from edgetune.modules.images.reader import ReadImage, Unusable, read_image
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import DataSettings, ModelSettings
from edgetune.modules.training.image_features import features_of

_STRANGE = 14


def main() -> None:
    """Measure all folders, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="class folders of images")
    parser.add_argument("--weights", required=True, metavar="FILE", help="ImageNet weights of MobileNetV2 1.0 at 224")
    parser.add_argument("--share", type=float, default=0.05, metavar="S", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="seeds 1 to N; default: %(default)s")
    options = parser.parse_args()
    print(f"{cpu_name()}; {options.share:.0%} of the labels flipped, {options.seeds} seeds")
    features = {}
    for folder in options.data:
        pooled, label, group = _read(folder, ModelSettings(weights=options.weights))
        features[folder.name] = pooled
        _flips(folder.name, pooled, label, group, options.share, options.seeds)
    for name, pooled in features.items():
        for other, strange in features.items():
            if other != name:
                _outliers(name, pooled, other, strange)


def _read(folder: Path, model: ModelSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features, labels and groups of near-duplicates of all images in the class folders."""
    data = DataSettings(path=str(folder))
    reading = Reading.of(data.model_dump(include={"max_pixels", "max_side", "background"}))
    images: list[ReadImage] = []
    names: list[str] = []
    for path in sorted(path for path in folder.glob("*/*") if path.is_file()):
        try:
            images.append(read_image(path.read_bytes(), reading))
        except Unusable:
            continue
        names.append(path.parent.name)
    signatures = [image.appearance.signature for image in images]
    groups = alike([image.digest for image in images], signatures, data.duplicate_distance)
    pooled = features_of((image.encoded for image in images), model, reading)
    return pooled, np.unique(names, return_inverse=True)[1], groups


def _flips(name: str, pooled: np.ndarray, label: np.ndarray, group: np.ndarray, share: float, seeds: int) -> None:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    images, classes = len(label), int(label.max()) + 1
    flips = round(share * images)
    found: dict[str, list[float]] = {}
    for seed in range(1, seeds + 1):
        random = np.random.default_rng(seed)
        flipped = np.zeros(images, bool)
        flipped[random.choice(images, flips, replace=False)] = True
        given = label.copy()
        given[flipped] = (given[flipped] + random.integers(1, classes, flips)) % classes
        started = time.process_time()
        probabilities = out_of_fold(pooled, given, group, classes)
        listed = [suspect.row for suspect in suspects(probabilities, given)]
        seconds = time.process_time() - started
        right = [suspect.looks_like == label[suspect.row] for suspect in suspects(probabilities, given)]
        orders: dict[str, Iterable[int]] = {
            score: np.argsort(get_label_quality_scores(given, probabilities, method=score), kind="stable")
            for score in ("self_confidence", "normalized_margin")
        }
        orders["confident_learning"] = find_label_issues(
            given, probabilities, return_indices_ranked_by="normalized_margin", n_jobs=1
        )
        for score, order in orders.items():
            found.setdefault(score, []).append(flipped[np.asarray(order)[:flips]].sum() / flips)
        found.setdefault("list, length", []).append(len(listed) / images)
        found.setdefault("list, precision", []).append(flipped[listed].mean())
        found.setdefault("list, recall", []).append(flipped[listed].sum() / flips)
        of_flipped = np.array(right)[flipped[listed]]
        found.setdefault("of these, right class", []).append(of_flipped.mean())
        found.setdefault("accuracy out of fold", []).append(accuracy(probabilities, given))
        found.setdefault("processor seconds", []).append(seconds)
    print(f"\n{name}: {images} images, {classes} classes, {len(np.unique(group))} groups, {flips} flipped\n")
    print("| | mean | smallest |\n|-|-:|-:|")
    for what, values in found.items():
        print(f"| {what} | {np.mean(values):.3f} | {np.min(values):.3f} |")


def _outliers(name: str, pooled: np.ndarray, other: str, strange: np.ndarray) -> None:
    chosen = np.random.default_rng(1).choice(len(strange), _STRANGE, replace=False)
    rows = np.array([outlier.row for outlier in outliers(np.concatenate([pooled, strange[chosen]]))])
    among = int((rows >= len(pooled)).sum())
    print(f"\n{name} with {_STRANGE} of {other}: {among} of these are outliers, and {len(rows) - among} of its own")


if __name__ == "__main__":
    main()
