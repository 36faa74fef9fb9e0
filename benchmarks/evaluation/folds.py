"""What a cross-validation costs and how much narrower it makes the interval, on a part of the digits or of a folder.

    python -m benchmarks.evaluation.folds [--images N] [--folds K] [--seeds N] [--config FILE] [--data DIR] [--set A=B]

**Simulated.** A tenth of 1,000 images are test images, and `evaluation.min_accuracy` is 90 %. An image has a difficulty
z ~ N(0, c), and model and head are right if their quality + z + N(0, 1 - c) is positive, so errors correlate the more,
the larger c is. Printed are the median widths of Wilson's interval on the test images, of that of the heads on all
images and of the corrected one, and the share of models that pass on the test images alone, and with the folds too.
`--seeds 0` ends here.

**Measured.** For each seed, N of the embedded digits, or of the images in the class folders of `--data`, as many of
each class, are divided 8 : 1 : 1 and the configured network, by default the demo's, is trained in both phases, as
TwoPhaseTrainer does. Then all images are cross-validated, as CrossValidator does. Each image is a group of its own.
Printed for each seed, with times in seconds of the processor, of all threads:

    training    both phases, with the trainer's cache
    folds       the cross-validation, and of that, the features of the frozen backbone
    test        accuracy of the model on the test split, and Wilson's interval
    heads       accuracy of the heads on all images out of fold, and Wilson's interval
    corrected   the gate's estimate of the model's accuracy (`modules.evaluation.folds_gate`), and its interval
    truth       accuracy of the model on the images that were not among the N
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from scipy.special import ndtri

from benchmarks.lib.measure import cpu_name
from edgetune.modules.contracts.example_features import IMAGE, IMAGE_ID, LABEL, LABEL_INDEX, SPLIT_GROUP, SPLITS
from edgetune.modules.data.digits import write_digits
from edgetune.modules.evaluation.answers import Answers
from edgetune.modules.evaluation.double_sampling import double_sampling
from edgetune.modules.evaluation.folds_gate import judge
from edgetune.modules.evaluation.intervals import wilson
from edgetune.modules.examples import shards
from edgetune.modules.examples.pixel_packing import pack
from edgetune.modules.images.decode import decode
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import EvaluationSettings, ModelSettings, TrainingSettings
from edgetune.modules.training.datasets import load_datasets
from edgetune.modules.training.folds import train_folds
from edgetune.modules.training.losses import build_loss
from edgetune.modules.training.raw_features import raw_features
from edgetune.modules.training.two_phase import Folders, train_two_phases
from edgetune.pipeline.config.load import load

Files = dict[str, list[Path]]
Row = Mapping[str, bytes | str | int]
"""An example."""
_SIMULATIONS, _IMAGES, _TESTED, _NEEDED = 2000, 1000, 100, 0.9
_SHARES = {"train": 8, "eval": 1, "test": 1}


def main() -> None:
    """Measure all seeds, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, metavar="N", help="default: %(default)s")
    parser.add_argument("--folds", type=int, default=10, metavar="K", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 1 to N; default: %(default)s")
    parser.add_argument("--config", type=Path, metavar="FILE", help="network and training; default: the demo's")
    parser.add_argument("--data", type=Path, metavar="DIR", help="class folders of images; default: the digits")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", dest="overrides")
    options = parser.parse_args()
    _simulate()
    if not options.seeds:
        return
    settings = load(options.config, options.overrides, None)
    print(f"{cpu_name()}, {os.cpu_count()} cores, TensorFlow {tf.__version__}; {options.images} images")
    widths = []
    with tempfile.TemporaryDirectory() as folder:
        images = options.data or write_digits(Path(folder) / "digits")
        for seed in range(1, options.seeds + 1):
            training = settings.training.model_copy(update={"seed": seed})
            found, rest = _chosen(images, options.images, seed)
            keras.backend.clear_session()
            widths.append(_measure(Path(folder) / str(seed), found, rest, settings.model, training, options.folds))
    test, heads, corrected = np.median(widths, axis=0)
    print(f"median widths: test {test:.3f}, heads {heads:.3f} (1/{test / heads:.2f}), ", end="")
    print(f"corrected {corrected:.3f} (1/{test / corrected:.2f})")


def _simulate() -> None:
    print("| c | model | heads | width, test | heads | corrected | passes on test | and with folds |")
    print("|-:|-:|-:|-:|-:|-:|-:|-:|")
    random = np.random.default_rng(1)
    for shared in (0.8, 0.95, 0.99):
        for model, heads in ((0.95, 0.95), (0.95, 0.85), (0.85, 0.85), (0.85, 0.8)):
            found = []
            for _ in range(_SIMULATIONS):
                difficulty = shared**0.5 * random.standard_normal(_IMAGES)
                noise = (1 - shared) ** 0.5 * random.standard_normal((2, _IMAGES))
                f, h = (ndtri(share) + difficulty + own > 0 for share, own in zip((model, heads), noise, strict=True))
                _, low, high = double_sampling(f[:_TESTED], h[:_TESTED], h[_TESTED:])
                alone, all_heads = (wilson(int(v.sum()), len(v)) or (0.0, 1.0) for v in (f[:_TESTED], h))
                passes = f[:_TESTED].mean() >= _NEEDED
                widths = [alone[1] - alone[0], all_heads[1] - all_heads[0], high - low]
                found.append((*widths, passes, passes and high >= _NEEDED))
            median, mean = np.median(found, axis=0)[:3], np.mean(found, axis=0)[3:]
            row = [f"{shared:.2f}", f"{model:.0%}", f"{heads:.0%}", *(f"{w:.3f}" for w in median)]
            print("|", " | ".join([*row, *(f"{share:.1%}" for share in mean)]), "|")


def _chosen(data: Path, images: int, seed: int) -> tuple[Files, list[Path]]:
    """Return the files of each split, with as many of each class, and those that are in none."""
    random = np.random.default_rng(seed)
    found: Files = {split: [] for split in SPLITS}
    rest: list[Path] = []
    folders = sorted(folder for folder in data.iterdir() if folder.is_dir())
    for folder in folders:
        files = list(random.permutation(sorted(folder.iterdir())))
        at = 0
        for split, share in _SHARES.items():
            count = images * share // (len(folders) * sum(_SHARES.values()))
            found[split] += files[at : at + count]
            at += count
        rest += files[at:]
    return found, rest


def _measure(
    folder: Path, found: Files, rest: list[Path], model: ModelSettings, training: TrainingSettings, folds: int
) -> tuple[float, float, float]:
    """Train, cross-validate and print; return the widths of the three intervals."""
    labels = sorted({path.parent.name for path in found["train"]})
    raw, transformed = str(folder / "raw"), str(folder / "transformed")
    for split, files in found.items():
        _write(raw, split, ({IMAGE: path.read_bytes(), LABEL: path.parent.name, **_named(path)} for path in files))
        pixels = ((decode(tf.constant(path.read_bytes()), model.image_size).numpy(), path) for path in files)
        rows: Iterable[Row] = (
            {IMAGE: pack(image.tobytes()), LABEL_INDEX: labels.index(path.parent.name)} for image, path in pixels
        )
        _write(transformed, split, rows)
    for uri in (raw, transformed):
        shards.write(uri, {split: len(files) for split, files in found.items()})

    started = time.process_time()
    data = load_datasets(transformed, model.image_size, training)
    loss = build_loss(training, [len(found["train"]) // len(labels)] * len(labels))
    folders = Folders(f"{folder}/logs", folder / "cache")
    result = train_two_phases(transformed, data, len(labels), model, training, loss, folders)
    trained = time.process_time() - started

    started = time.process_time()
    features = raw_features(folder / "cache", raw, labels, model, training, Reading())
    frozen = time.process_time() - started
    predicted = np.zeros(len(features.label), int)
    for fold in train_folds(features, len(labels), folds, model.head, training, f"{folder}/logs"):
        for held_out, probabilities in fold.answers(features):
            predicted[held_out] = probabilities.argmax(axis=1)
    seconds = time.process_time() - started

    names = np.array(labels)
    tested = _answers(result.classifier.model, found["test"], names, model.image_size)
    out_of_fold = Answers(features.image_id.astype(str), names[features.label], names[predicted])
    gate = judge(tested, out_of_fold, len(predicted), EvaluationSettings(folds=folds))
    truth = _answers(result.classifier.model, rest, names, model.image_size).correct.mean()
    right = {"test": tested.correct, "heads": out_of_fold.correct}
    intervals = {name: wilson(int(values.sum()), len(values)) or (0.0, 1.0) for name, values in right.items()}
    intervals["corrected"] = (gate.low or 0.0, gate.high or 1.0)
    shown = {"test": tested.correct.mean(), "heads": out_of_fold.correct.mean(), "corrected": gate.measured}
    text = "; ".join(
        f"{n} {100 * v:.1f} ({100 * intervals[n][0]:.1f} to {100 * intervals[n][1]:.1f})" for n, v in shown.items()
    )
    print(f"seed {training.seed}: training {trained:.1f} s, folds {seconds:.1f} s ", end="")
    print(f"(features {frozen:.1f} s); {text}; truth {100 * truth:.1f}", flush=True)
    test, heads, corrected = (high - low for low, high in intervals.values())
    return test, heads, corrected


def _answers(network: keras.Model, files: list[Path], labels: np.ndarray, image_size: int) -> Answers:
    contents = tf.data.Dataset.from_tensor_slices([str(path) for path in files]).map(tf.io.read_file)
    images = contents.map(lambda content: tf.cast(decode(content, image_size), tf.float32)).batch(64)
    given = np.concatenate([network.predict_on_batch(batch).argmax(axis=1) for batch in images])
    ids = np.array([_named(path)[IMAGE_ID] for path in files])
    return Answers(ids, np.array([path.parent.name for path in files]), labels[given])


def _named(path: Path) -> dict[str, str]:
    with Image.open(path) as image:
        digest = hashlib.sha256(path.name.encode() + image.tobytes()).hexdigest()
    return {IMAGE_ID: digest, SPLIT_GROUP: digest}


def _write(uri: str, split: str, rows: Iterable[Row]) -> None:
    folder = Path(uri) / f"Split-{split}"
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data-00000-of-00001.gz"), "GZIP") as writer:
        for row in rows:
            example = tf.train.Example()
            for name, value in row.items():
                feature = example.features.feature[name]
                if isinstance(value, int):
                    feature.int64_list.value.append(value)
                else:
                    feature.bytes_list.value.append(value.encode() if isinstance(value, str) else value)
            writer.write(example.SerializeToString())


if __name__ == "__main__":
    main()
