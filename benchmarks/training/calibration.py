"""Measure what a temperature and thresholds of the classes do on images that they were not chosen on.

    python -m benchmarks.training.calibration                                     the demo's digits
    python -m benchmarks.training.calibration --data DIR --weights FILE --size 224 --alpha 1.0

The backbone's features are computed once. For each seed, the images are split anew, 8 : 1 : 1 within each class, and a
head is trained as in phase 1. The temperature is fitted on `eval`, or on a part of it, and the error is measured on
`test` before and after, so the differences are paired. Thresholds are chosen on `eval` by three rules, of which
edgetune uses `plain`, and measured on `test`; `--unknown` adds images of none of the classes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax
from scipy.stats import beta
from scipy.stats import t as student

from benchmarks.lib.measure import cpu_name
from edgetune.modules.core.package_paths import ROOT
from edgetune.modules.data.digits import write_digits
from edgetune.modules.evaluation.calibration import cross_entropy, expected_calibration_error, reliability
from edgetune.modules.evaluation.thresholds import Thresholds, TopAnswers, class_thresholds, selection
from edgetune.modules.images import decode
from edgetune.modules.models.classifier import Classifier, build_classifier, pool
from edgetune.modules.settings.run import HeadSettings, ModelSettings, PhaseSettings
from edgetune.modules.training import temperature
from edgetune.modules.training.epochs import Epochs
from edgetune.modules.training.phase import run_phase

Estimate = Callable[[int, int], float]
"""Precision of a class by its right answers and all its answers, at and above a threshold."""
_BATCH = 32
_DIGITS = ROOT / "weights" / "mobilenet_v2_0.35_96_letters.safetensors"
_SIZES = (10, 30, 60)
"""Parts of `eval` that a temperature is also fitted on."""
_DRAWS = 20


@dataclass
class Measured:
    """Values by seed, by name."""

    values: dict[str, list[float]] = field(default_factory=dict)
    accepted: dict[str, list[dict[str, int]]] = field(default_factory=dict)

    def add(self, name: str, value: float | None) -> None:
        """Add a value of one seed."""
        self.values.setdefault(name, []).append(float("nan") if value is None else value)


def main() -> None:
    """Train the heads, measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="images as DIR/<class>/*; default: the demo's digits")
    parser.add_argument("--unknown", type=Path, metavar="DIR", help="images of none of the classes, as DIR/*/*")
    parser.add_argument("--weights", default=str(_DIGITS), metavar="FILE", help="default: those of the demo")
    parser.add_argument("--alpha", type=float, default=0.35)
    parser.add_argument("--size", type=int, default=96, help="image size in pixels; default: %(default)s")
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds; default: %(default)s")
    parser.add_argument("--precision", type=float, default=0.95)
    options = parser.parse_args()
    published = HeadSettings(units=(256, 128), dropout=(0.5, 0.3))
    model = ModelSettings(alpha=options.alpha, image_size=options.size, weights=options.weights, head=published)
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or write_digits(Path(folder) / "digits")
        classes = sorted(path for path in data.iterdir() if path.is_dir())
        paths = [(path, label) for label, name in enumerate(classes) for path in sorted(name.iterdir())]
        network = build_classifier(model, len(classes), seed=1)
        features = _features(network, [path for path, _ in paths], model.image_size)
        unknown = [path for path in sorted(options.unknown.glob("*/*")) if path.is_file()] if options.unknown else []
        others = _features(network, unknown, model.image_size) if unknown else None
    labels = np.array([label for _, label in paths])
    print(f"{cpu_name()}, TensorFlow {tf.__version__}; {len(labels)} images, {len(classes)} classes")
    measured = Measured()
    for seed in range(1, options.seeds + 1):
        _measure(measured, network, features, labels, others, seed, options.precision)
    _print(measured, options.precision)


def _features(network: Classifier, paths: list[Path], size: int) -> np.ndarray:
    pooled = keras.Model(network.backbone.input, pool(network.backbone.output))
    images = tf.data.Dataset.from_tensor_slices([str(path) for path in paths]).map(
        lambda path: tf.cast(decode.decode(tf.io.read_file(path), size), tf.float32), tf.data.AUTOTUNE
    )
    return np.asarray(pooled.predict(images.batch(_BATCH), verbose=0))


def _measure(
    measured: Measured,
    network: Classifier,
    features: np.ndarray,
    labels: np.ndarray,
    others: np.ndarray | None,
    seed: int,
    precision: float,
) -> None:
    random = np.random.default_rng(seed)
    split = np.zeros(len(labels), int)
    for label in np.unique(labels):
        where = random.permutation(np.flatnonzero(labels == label))
        split[where] = np.array([1, 2, *[0] * 8])[np.arange(len(where)) % 10]
    train, choose, test = (np.flatnonzero(split == part) for part in range(3))
    choose = random.permutation(choose)
    keras.utils.set_random_seed(seed)
    head = keras.models.clone_model(network.head)
    _train(head, features, labels, train, choose, seed)
    # Logits up to a constant of each row; heads of this size do not round probabilities to 0 in float64.
    last = head.layers[-1]
    kernel, bias = last.get_weights()
    before_last = keras.Model(head.input, last.input)
    logits = np.asarray(before_last(features), np.float64) @ kernel + bias
    truth = labels[test]
    measured.add("accuracy", float(np.mean(logits[test].argmax(axis=1) == truth)))
    measured.add("eval images", len(choose))
    measured.add("test images", len(test))
    ways = {f"{size}": choose[:size] for size in _SIZES if size < len(choose)}
    ways["all"] = choose
    _add_errors(measured, "before", logits[test], truth)
    for name, part in ways.items():
        fitted = temperature.fit(logits[part], labels[part]).value
        without = temperature.fit(logits[part], labels[part], prior=np.inf).value
        for way, value in ((name, fitted), (f"{name}, no prior", without)):
            measured.add(f"T, {way}", value)
            _add_errors(measured, way, logits[test] / value, truth)
    value = measured.values["T, all"][-1]
    probabilities = softmax(logits / value, axis=1)
    confidence = probabilities[test].max(axis=1)
    # What a model would have that is calibrated perfectly: each answer is right with its own probability.
    drawn = [reliability(confidence, random.random(len(test)) < confidence) for _ in range(_DRAWS)]
    measured.add("ECE by chance", float(np.mean([expected_calibration_error(diagram) or 0.0 for diagram in drawn])))
    on_eval, on_test = (TopAnswers.of(probabilities[part], labels[part]) for part in (choose, test))
    rules = {
        "plain": class_thresholds(on_eval, logits.shape[1], precision),
        "succession, (k + 1) / (n + 2)": _thresholds(
            on_eval, logits.shape[1], precision, lambda k, n: (k + 1) / (n + 2)
        ),
        "lower bound, 95 %": _thresholds(on_eval, logits.shape[1], precision, _lower_bound),
    }
    on_others = None
    if others is not None:
        of_others = np.asarray(before_last(others), np.float64) @ kernel + bias
        on_others = TopAnswers.of(softmax(of_others / value, axis=1), np.full(len(others), -1))
    for name, thresholds in rules.items():
        found = selection(on_test, thresholds)
        row = {key: found[key] for key in ("answers", "accepted", "correct")}
        row |= {"classes": len(thresholds), "without": sum(threshold is None for threshold in thresholds)}
        if on_others is not None:
            taken = selection(on_others, thresholds)
            row |= {"unknown": taken["answers"], "unknown accepted": taken["accepted"]}
        measured.accepted.setdefault(name, []).append(row)


def _train(
    head: keras.Model, features: np.ndarray, labels: np.ndarray, train: np.ndarray, choose: np.ndarray, seed: int
) -> None:
    """Train a head as in phase 1, without augmentation."""

    def batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.argsort(tf.random.stateless_uniform([len(train)], tf.stack([tf.constant(seed, tf.int64), epoch])))
        rows = tf.gather(tf.constant(train), order)
        return tf.data.Dataset.from_tensor_slices((tf.gather(features, rows), tf.gather(labels, rows))).batch(_BATCH)

    evaluation = tf.data.Dataset.from_tensor_slices((features[choose], labels[choose])).batch(_BATCH)
    loss = keras.losses.SparseCategoricalCrossentropy()
    with tempfile.TemporaryDirectory() as logs:
        run_phase(
            "head", head, Epochs(batches, lambda: -(-len(train) // _BATCH)), evaluation, loss, PhaseSettings(), logs
        )


def _thresholds(answers: TopAnswers, classes: int, precision: float, estimate: Estimate) -> Thresholds:
    """Choose thresholds as `class_thresholds` does, with another estimate of the precision."""
    found: list[float | None] = []
    for label in range(classes):
        chosen = answers.best == label
        order = np.argsort(-answers.confidence[chosen], kind="stable")
        right = np.cumsum(answers.correct[chosen][order])
        fit = [n for n, k in enumerate(right, start=1) if estimate(int(k), n) >= precision]
        found.append(float(answers.confidence[chosen][order][fit[-1] - 1]) if fit else None)
    return found


def _lower_bound(right: int, answers: int) -> float:
    """Clopper and Pearson's one-sided lower bound of a proportion, at 95 %."""
    return float(beta.ppf(0.05, right, answers - right + 1)) if right else 0.0


def _add_errors(measured: Measured, name: str, logits: np.ndarray, truth: np.ndarray) -> None:
    probabilities = softmax(logits, axis=1)
    diagram = reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth)
    measured.add(f"ECE, {name}", expected_calibration_error(diagram))
    measured.add(f"cross entropy, {name}", cross_entropy(probabilities[np.arange(len(truth)), truth]))


def _print(measured: Measured, precision: float) -> None:
    values = {name: np.array(found) for name, found in measured.values.items()}
    seeds = len(values["accuracy"])
    print(
        f"{seeds} seeds, {values['eval images'][0]:.0f} images on eval, {values['test images'][0]:.0f} on test, "
        f"accuracy {values['accuracy'].mean():.4f}, ECE by chance {values['ECE by chance'].mean():.4f}\n"
    )
    print(
        "| fitted on | T, mean | T, range | ECE before | after | difference "
        "| cross entropy before | after | difference |"
    )
    print("|-|-|-|-|-|-|-|-|-|")
    for name in [key.removeprefix("T, ") for key in values if key.startswith("T, ")]:
        found = values[f"T, {name}"]
        cells = [name, f"{found.mean():.2f}", f"{found.min():.2f} to {found.max():.2f}"]
        for what in ("ECE", "cross entropy"):
            before, after = values[f"{what}, before"], values[f"{what}, {name}"]
            cells += [f"{before.mean():.4f}", f"{after.mean():.4f}", _interval(after - before)]
        print("| " + " | ".join(cells) + " |")
    print(
        f"\n| rule for a precision of {precision} | precision on test | coverage | classes without | unknown accepted |"
    )
    print("|-|-|-|-|-|")
    for name, rows in measured.accepted.items():
        total = {key: sum(row[key] for row in rows) for key in rows[0]}
        shares = [total["correct"] / max(total["accepted"], 1), total["accepted"] / total["answers"]]
        unknown = f"{total['unknown accepted'] / total['unknown']:.4f}" if "unknown" in total else "-"
        cells = [name, *(f"{share:.4f}" for share in shares), f"{total['without'] / total['classes']:.4f}", unknown]
        print("| " + " | ".join(cells) + " |")


def _interval(differences: np.ndarray) -> str:
    """Return the mean of paired differences with its 95 % interval by Student's t."""
    half = student.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
    return f"{differences.mean():+.4f} ({differences.mean() - half:+.4f} to {differences.mean() + half:+.4f})"


if __name__ == "__main__":
    main()
