"""What the gates refuse and let pass, simulated: the life of a pipeline, floors on few images, and lost classes.

    python -m benchmarks.evaluation.gates [--lives N]

**Life of a pipeline.** 100 nightly retrainings are judged on one test split, and a blessed one becomes the last blessed
model. An image has a difficulty z ~ N(0, .8), and a model is right if its quality + z + N(0, .2) is positive: errors of
two models with 95 % accuracy correlate by .46, and they differ on 5 % of the images, like retrainings with another
seed. Three kinds of lives: equal models; equal ones with true accuracies of a standard deviation of half a point;
models that lose half a point of true accuracy every night. Three rules:

    best    the score must be at least the best of all blessed ones, minus .001
    last    the score must be at least that of the last blessed model, minus .001 (the rule of edgetune 0.1)
    paired  the gates of `modules.evaluation.model_gates`, with the default settings

`refused` is the share of the retrainings; `inflation` the reported minus the true accuracy of the model that is served
in the end, in points; `first refusal` the night (0 is the first model), and `lost` the true accuracy that the first
model has more than the one that is served in the end, in points.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy.special import ndtri
from scipy.stats import binom

from edgetune.modules.evaluation.answers import Answers
from edgetune.modules.evaluation.gates import blessed
from edgetune.modules.evaluation.intervals import wilson
from edgetune.modules.evaluation.model_gates import Earlier, model_gates
from edgetune.modules.evaluation.verdict import ClassifierCounts, Thresholds, variant_gates
from edgetune.modules.release.earlier import spread
from edgetune.modules.settings.run import EvaluationSettings

NIGHTS, ACCURACY, SHARED = 100, 0.95, 0.8
SIZES = (70, 200, 1000)
SETTINGS = EvaluationSettings()
Rule = Callable[[np.ndarray, list[tuple[int, np.ndarray]], int], bool]


def answers(correct: np.ndarray) -> Answers:
    """Return answers to images of one class."""
    ids = np.array([f"{number:05}" for number in range(len(correct))], object)
    label = np.full(len(correct), "a", object)
    return Answers(ids, label, np.where(correct, "a", "b").astype(object))


def best(correct: np.ndarray, earlier: list[tuple[int, np.ndarray]], night: int) -> bool:
    return bool(correct.mean() >= max((before.mean() for _, before in earlier), default=0) - 0.001 - 1e-9)


def last(correct: np.ndarray, earlier: list[tuple[int, np.ndarray]], night: int) -> bool:
    return best(correct, earlier[-1:], night)


def paired(correct: np.ndarray, earlier: list[tuple[int, np.ndarray]], night: int) -> bool:
    recent = [before for then, before in earlier[:-1] if night - then <= SETTINGS.compare_days]
    chosen = spread([*recent, *(before for _, before in earlier[-1:])], SETTINGS.compare_models)
    settings = SETTINGS.model_copy(update={"min_accuracy": 0.0})
    return blessed(model_gates(answers(correct), ["a"], settings, Earlier([answers(before) for before in chosen])))


RULES: dict[str, Rule] = {"best": best, "last": last, "paired": paired}


def life(seed: int, images: int, rule: Rule, decline: float, spread_of_quality: float) -> tuple[float, ...]:
    """Simulate a pipeline.

    Returns:
        Share of refusals, inflation, night of the first refusal (or `NIGHTS`), and accuracy lost.
    """
    random = np.random.default_rng(seed)
    difficulty = random.standard_normal(images) * SHARED**0.5
    earlier: list[tuple[int, np.ndarray]] = []
    true, refusals = [], []
    for night in range(NIGHTS):
        quality = ACCURACY - decline * night + spread_of_quality * random.standard_normal()
        noise = random.standard_normal(images) * (1 - SHARED) ** 0.5
        correct = ndtri(np.clip(quality, 0.01, 0.995)) + difficulty + noise > 0
        if rule(correct, earlier, night):
            earlier.append((night, correct))
            true.append(quality)
        else:
            refusals.append(night)
    first = refusals[0] if refusals else NIGHTS
    return len(refusals) / (NIGHTS - 1), earlier[-1][1].mean() - true[-1], first, true[0] - true[-1]


def lives(number: int) -> None:
    print(
        "| images | rule | refused, equal | inflation | refused, equal with seeds | first refusal, declining | lost |"
    )
    print("|-:|-|-:|-:|-:|-:|-:|")
    for images in SIZES:
        for name, rule in RULES.items():
            equal, seeds, declining = (
                np.mean([life(seed, images, rule, *kind) for seed in range(number)], axis=0)
                for kind in ((0.0, 0.0), (0.0, 0.005), (0.005, 0.0))
            )
            print(
                f"| {images} | {name} | {equal[0]:.1%} | {100 * equal[1]:+.1f} | {seeds[0]:.1%} "
                f"| {declining[2]:.1f} | {100 * declining[3]:.1f} |",
                flush=True,
            )


def floors() -> None:
    """Print how often a model with 95 % true accuracy passes `min_accuracy: 0.9`, by `gate_on`."""
    print("\n| images | passes on estimate | passes on lower_bound | a model of 88 % on estimate | on lower_bound |")
    print("|-:|-:|-:|-:|-:|")
    for images in (30, 50, 100, 200, 300, 500, 1000):
        right = np.arange(images + 1)
        by_estimate = right / images >= 0.9 - 1e-9
        by_bound = np.array([(wilson(int(count), images) or (0, 0))[0] >= 0.9 for count in right])
        shares = [
            f"{binom.pmf(right, images, true)[passed].sum():.1%}"
            for true in (0.95, 0.88)
            for passed in (by_estimate, by_bound)
        ]
        print(f"| {images} | {' | '.join(shares)} |")


def lost_classes(number: int) -> None:
    """Print how often a faithful variant, and one that has lost a class, is refused for a class."""
    print("\n| classes x images | answers that differ | faithful refused | with a lost class refused |")
    print("|-|-:|-:|-:|")
    random = np.random.default_rng(1)
    for classes, each in ((100, 3), (100, 10), (10, 20), (5, 200)):
        truth = np.repeat(np.arange(classes), each)
        for differ in (0.01, 0.03):
            refused = np.zeros(2)
            for _ in range(number):
                server = np.where(random.random(len(truth)) < 0.9, truth, random.integers(0, classes, len(truth)))
                server[:each] = 0  # the class that will be lost is one that the SavedModel has
                other = random.integers(0, classes, len(truth))
                faithful = np.where(random.random(len(truth)) < 1 - differ, server, other)
                lost = np.where(truth == 0, 1, faithful)
                refused += [_refused(variant, server, truth, classes) for variant in (faithful, lost)]
            print(f"| {classes} x {each} | {differ:.0%} | {refused[0] / number:.1%} | {refused[1] / number:.1%} |")


def _refused(variant: np.ndarray, server: np.ndarray, truth: np.ndarray, classes: int) -> bool:
    counts = ClassifierCounts([str(number) for number in range(classes)])
    eye = np.eye(classes, dtype=np.float32)
    counts.add(truth, eye[variant], eye[server])
    gates = variant_gates(counts, 1, Thresholds(max_accuracy_drop=1.0, min_agreement=0.0), "int8")
    return any(gate.name == "edge.max_class_drop" and gate.passed is False for gate in gates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lives", type=int, default=40, help="simulated pipelines for each row")
    number = parser.parse_args().lives
    lives(number)
    floors()
    lost_classes(10 * number)


if __name__ == "__main__":
    main()
