"""Compare ways of training on the same splits of several sets: accuracy on test, seconds of everything, paired.

    python -m benchmarks.training.study --data flowers=DIR --data trashnet=DIR --data digits --data drawings \\
        --weights FILE [--alpha A --size S] [--splits 5] [--arm NAME=KIND[,SETTING=VALUE...] ...] --results FILE

Without a folder, `digits` are the 1,797 that are embedded and `drawings` 20 generated images of each of 12 letters.
Split s takes for `test` and for `eval` another tenth of each class than the other splits do. An arm is one of four
kinds; the last takes settings, such as `hidden=ours,model.head.units=[256,128],model.head.dropout=[.5,.3]`:

    loop          the tutorial's loop as it is published: 10 epochs of a head on the frozen backbone with Adam 1e-3,
                  20 of its last 40 layers with 1e-4; with Keras 3, their batch normalization is trained
    loop_frozen   the same with batch normalization in inference mode
    logistic      logistic regression on the pooled features of the pretrained backbone, its L2 penalty chosen by
                  cross-validation on train
    ours          what TwoPhaseTrainer runs, with Transform's work

Every finished cell is a line of JSON in the results; a cell that has a line is not computed again, so a study that was
interrupted goes on where it was. At the end, and with `--splits 0` at once, the command prints for every arm the mean,
and its difference from `--against` with its 95 % interval (Student's t over the pairs of cells).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import yaml
from PIL import Image
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegressionCV

from benchmarks.lib.photographs import Photograph, photographs, write_transformed
from edgetune.modules.data.digits import write_digits
from edgetune.modules.images import decode
from edgetune.modules.models.classifier import build_classifier
from edgetune.modules.settings.run import HeadSettings, ModelSettings, TrainingSettings
from edgetune.modules.training.baselines import accuracy
from edgetune.modules.training.cached_features import POOLED
from edgetune.modules.training.datasets import load_datasets
from edgetune.modules.training.losses import build_loss
from edgetune.modules.training.raw_features import pooled_function
from edgetune.modules.training.two_phase import Folders, train_two_phases
from edgetune.weights.drawings import CLASSES, draw

Found = dict[str, list[Photograph]]
Cell = dict[str, Any]
_LETTERS, _EACH = 12, 20
_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)
_BATCH = 32
_UNFROZEN = 40


def main() -> None:
    """Compute what is missing, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", dest="sets", action="append", default=[], metavar="NAME[=DIR]")
    parser.add_argument("--weights", metavar="FILE", help="weights of MobileNetV2, or `imagenet`", default="imagenet")
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=224, help="image size in pixels; default: %(default)s")
    parser.add_argument("--splits", type=int, default=5, help="splits of each set, at most 10; default: %(default)s")
    parser.add_argument("--first", type=int, default=0, help="the first of these splits; default: %(default)s")
    parser.add_argument("--arm", dest="arms", action="append", metavar="NAME=KIND[,SETTING=VALUE...]")
    parser.add_argument("--results", type=Path, required=True, metavar="FILE")
    parser.add_argument("--against", default="logistic", metavar="ARM")
    options = parser.parse_args()
    arms = dict(arm.split("=", 1) for arm in options.arms or [f"{name}={name}" for name in _KINDS])
    network = {"alpha": options.alpha, "image_size": options.size}
    done = _read(options.results)
    with tempfile.TemporaryDirectory() as temporary:
        for split in range(options.first, options.first + options.splits):
            for named in options.sets:
                name, _, folder = named.partition("=")
                data = Path(folder) if folder else _made(name, Path(temporary))
                for arm, what in arms.items():
                    cell = {"set": name, "split": split, "arm": arm, **network}
                    if any(cell.items() <= other.items() for other in done):
                        continue
                    model = ModelSettings(**network, weights=options.weights)
                    keras.backend.clear_session()
                    keras.utils.set_random_seed(split + 1)
                    done.append({**cell, **_measure(what, photographs(data, turn=split), model, split + 1)})
                    with options.results.open("a", encoding="utf-8") as results:
                        results.write(json.dumps(done[-1]) + "\n")
                    print(json.dumps(done[-1]), flush=True)
    _summary([cell for cell in done if network.items() <= cell.items()], options.against)


def _read(results: Path) -> list[Cell]:
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()] if results.exists() else []


def _made(name: str, folder: Path) -> Path:
    """Return the folder of a set that needs no download; it is made when first asked for."""
    if name == "digits":
        return write_digits(folder / name)
    if name != "drawings":
        raise SystemExit(f"{name} needs a folder: --data {name}=DIR")
    target = folder / name
    for number in range(_LETTERS * _EACH if not target.is_dir() else 0):
        label, row = number % _LETTERS, number // _LETTERS
        path = target / CLASSES[label] / f"{row:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(row * len(CLASSES) + label, seed=1)[0]).save(path)
    return target


def _measure(what: str, found: Found, model: ModelSettings, seed: int) -> Cell:
    started = time.monotonic()
    measured = _KINDS[what.partition(",")[0]](found, model, seed, _changes(what))
    return {"accuracy": round(measured.pop("accuracy"), 5), "seconds": round(time.monotonic() - started, 1), **measured}


def _changes(what: str) -> list[tuple[str, Any]]:
    """Return the settings of an arm; a comma within brackets does not separate."""
    parts: list[str] = []
    for part in what.split(",")[1:]:
        if "=" in part:
            parts.append(part)
        else:
            parts[-1] += f",{part}"
    return [(name, yaml.safe_load(value)) for name, _, value in (part.partition("=") for part in parts)]


def _batches(photos: Sequence[Photograph], size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(photos), _BATCH):
        part = photos[start : start + _BATCH]
        images = [decode.decode(tf.constant(photo.path.read_bytes()), size) for photo in part]
        yield np.stack(images).astype(np.float32), np.array([photo.label for photo in part])


def _logistic(found: Found, model: ModelSettings, seed: int, _: object) -> Cell:
    network = pooled_function(model, seed)

    def features(split: str) -> tuple[np.ndarray, np.ndarray]:
        pairs = [
            (network(images)[POOLED].numpy(), labels) for images, labels in _batches(found[split], model.image_size)
        ]
        pooled, labels = zip(*pairs, strict=True)
        return np.concatenate(pooled), np.concatenate(labels)

    fitted = LogisticRegressionCV(Cs=_PENALTIES, cv=3, scoring="neg_log_loss", max_iter=1000).fit(*features("train"))
    pooled, labels = features("test")
    return {"accuracy": float(np.mean(fitted.predict(pooled) == labels)), "C": float(fitted.C_[0])}


def _loop(frozen: bool) -> Callable[..., Cell]:
    def train(found: Found, model: ModelSettings, seed: int, _: object) -> Cell:
        def dataset(split: str) -> tf.data.Dataset:
            photos = found[split]
            files = tf.data.Dataset.from_tensor_slices(
                ([str(photo.path) for photo in photos], [photo.label for photo in photos])
            )
            if split == "train":
                files = files.shuffle(len(photos), seed)

            def read(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                image = tf.cast(decode.decode(tf.io.read_file(path), model.image_size), tf.float32)
                if split == "train":
                    image = tf.image.random_flip_left_right(image)
                    image = tf.image.random_brightness(image, 0.1 * 255)
                    image = tf.image.rot90(image, tf.random.uniform([], 0, 4, tf.int32))
                return tf.ensure_shape(image, [model.image_size, model.image_size, 3]), label

            return files.map(read, tf.data.AUTOTUNE).batch(_BATCH).prefetch(tf.data.AUTOTUNE)

        classes = 1 + max(photo.label for photo in found["train"])
        published = HeadSettings(units=(256, 128), dropout=(0.5, 0.3))
        network = build_classifier(model.model_copy(update={"head": published}), classes, seed)
        train, evaluation, epochs = dataset("train"), dataset("eval"), []
        network.backbone.trainable = False
        for rate, most, patience in ((1e-3, 10, 3), (1e-4, 20, 5)):
            network.model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
            callbacks = [
                keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True),
                keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=2),
            ]
            history = network.model.fit(train, validation_data=evaluation, epochs=most, callbacks=callbacks, verbose=0)
            epochs.append(len(history.history["loss"]))
            network.backbone.trainable = True
            for number, layer in enumerate(network.backbone.layers):
                normalizes = isinstance(layer, keras.layers.BatchNormalization)
                layer.trainable = number >= len(network.backbone.layers) - _UNFROZEN and not (frozen and normalizes)
        return {"accuracy": accuracy(network.model, dataset("test")), "epochs": epochs}

    return train


def _ours(found: Found, model: ModelSettings, seed: int, changes: Sequence[tuple[str, Any]]) -> Cell:
    trees: dict[str, dict[str, Any]] = {"model": model.model_dump(), "training": {"seed": seed}}
    for name, value in changes:
        *groups, last = name.split(".")
        tree: dict[str, Any] = trees
        for group in groups:
            tree = tree.setdefault(group, {})
        tree[last] = value
    model, training = ModelSettings(**trees["model"]), TrainingSettings(**trees["training"])
    with tempfile.TemporaryDirectory() as folder:
        examples = write_transformed(found, model.image_size, Path(folder) / "examples")
        data = load_datasets(examples, model.image_size, training)
        counts = np.bincount([photo.label for photo in found["train"]]).tolist()
        folders = Folders(logs=f"{folder}/logs", cache=Path(folder) / "cache")
        loss = build_loss(training, counts)
        result = train_two_phases(examples, data, len(counts), model, training, loss, folders)
        reached = accuracy(result.classifier.model, data.test)
        result.classifier.model.set_weights(result.after_head)
        return {
            "accuracy": reached,
            "fixed_features": round(accuracy(result.classifier.model, data.test), 5),
            "epochs": [len(phase.epochs) for phase in result.phases],
            "why": result.why,
        }


_KINDS = {"loop": _loop(frozen=False), "loop_frozen": _loop(frozen=True), "logistic": _logistic, "ours": _ours}


def _summary(done: list[Cell], against: str) -> None:
    arms = list(dict.fromkeys(cell["arm"] for cell in done))
    for name in [*dict.fromkeys(cell["set"] for cell in done), None]:
        of = {
            arm: {(c["set"], c["split"]): c for c in done if c["arm"] == arm and name in (None, c["set"])}
            for arm in arms
        }
        print(f"\n{name or 'all'}: accuracy, less {against} with the 95 % interval over pairs, seconds")
        for arm, cells in of.items():
            pairs = [
                100 * (cells[key]["accuracy"] - of[against][key]["accuracy"]) for key in cells if key in of[against]
            ]
            difference = ""
            if arm != against and len(pairs) > 1:
                half = student.ppf(0.975, len(pairs) - 1) * np.std(pairs, ddof=1) / len(pairs) ** 0.5
                difference = (
                    f"{np.mean(pairs):+.1f} points ({np.mean(pairs) - half:+.1f} to {np.mean(pairs) + half:+.1f})"
                )
            if cells:
                mean, seconds = (np.mean([cell[key] for cell in cells.values()]) for key in ("accuracy", "seconds"))
                print(f"    {arm:14} {mean:.4f} of {len(cells):2} cells  {difference:34} {seconds:6.1f} s")


if __name__ == "__main__":
    main()
