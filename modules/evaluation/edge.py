"""Measure every LiteRT variant against the SavedModel that it was made from, on images not used in training.

The SavedModel is called as a server would, with encoded images; the variants are called as a phone would, with decoded
pixels and the class names inside their files. So lost preprocessing and swapped labels are detected.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any, get_args

import numpy as np
import tensorflow as tf

from edgetune.modules.bundle.golden import Golden
from edgetune.modules.contracts import example_features
from edgetune.modules.contracts.bundle import INPUT_RANGES, model_file, normalisation
from edgetune.modules.contracts.signatures import (
    IMAGE_BYTES,
    LABELS_FILE,
    PROBABILITIES,
    SERIALIZED,
    SERVING,
    TRANSFORM,
)
from edgetune.modules.core.errors import DataError, EdgetuneError
from edgetune.modules.core.progress import report
from edgetune.modules.evaluation.arithmetic import judge
from edgetune.modules.evaluation.confidence import SAVED_MODEL, Confidence
from edgetune.modules.evaluation.gates import as_json
from edgetune.modules.evaluation.notable import Notable
from edgetune.modules.evaluation.verdict import ClassifierCounts, Thresholds, overall, refusals, variant_gates
from edgetune.modules.examples import records
from edgetune.modules.images.decode import from_raw
from edgetune.modules.litert import declared_metadata, inspection, metadata
from edgetune.modules.litert.crash_probe import crash_reason
from edgetune.modules.litert.interpreter import EdgeRunner, cores, runtime
from edgetune.modules.serving import saved_model as saved_model_reader
from edgetune.modules.settings.run import EvaluationSettings, InputRange, Variant
from edgetune.modules.storage.digests import DataDigest, folder_digest

BATCH = 32
SPLIT, CHOOSING = "test", "eval"
# On a busy machine, two threads are often slower than one, and always less reproducible.
LATENCY_THREADS = 1


def variants_in(edge_model: str) -> dict[str, bytes]:
    """Return the content of each variant's file in a folder or URL, by the variant's name, the reference first."""
    prefix, suffix = model_file("*").split("*")
    contents = {}
    for path in sorted(tf.io.gfile.glob(f"{edge_model}/{prefix}*{suffix}")):
        with tf.io.gfile.GFile(path, "rb") as file:
            contents[path.rsplit("/", 1)[1].removeprefix(prefix).removesuffix(suffix)] = file.read()
    known = get_args(Variant)
    return {name: contents[name] for name in (*known, *sorted(set(contents) - set(known))) if name in contents}


class _Variant:
    """One variant: the problems of its file, and the counts of its answers."""

    def __init__(
        self, name: str, content: bytes, labels: Sequence[str], image_size: int, normal: tuple[float, float]
    ) -> None:
        self.name, self.content, self.normal = name, content, normal
        self.reasons, self.facts = list[str](), None
        self.runner: EdgeRunner | None = None
        self.counts = ClassifierCounts(labels, metadata.read_labels(content))
        try:
            self.facts = inspection.inspect(content)
            self.reasons += inspection.problems(self.facts, name, image_size, len(labels))
            self.reasons += declared_metadata.metadata_problems(content, labels, normal)
            # A variant with wrong labels is measured nevertheless, to show how wrong it is; one of another size cannot.
            if not self.reasons or self.facts.inputs[0].shape[1:3] == (image_size, image_size):
                if crash := crash_reason(content, BATCH):
                    self.reasons.append(crash)
                else:
                    self.runner = EdgeRunner(content, BATCH, normalisation=normal)
        except (EdgetuneError, RuntimeError, ValueError, IndexError) as error:
            self.reasons.append(error.cause if isinstance(error, EdgetuneError) else str(error))

    def ask(self, images: np.ndarray) -> np.ndarray | None:
        """Return the probabilities of a batch; on failure, add a reason for refusal and return None."""
        if self.runner is None:
            return None
        try:
            return self.runner.probabilities(images)
        except (RuntimeError, ValueError) as error:
            self.reasons.append(f"the LiteRT interpreter failed: {(str(error).splitlines() or ['no reason'])[0]}")
            self.runner = None
            return None


def evaluate(
    saved_model: str,
    edge_model: str,
    examples_uri: str,
    thresholds: Thresholds,
    golden: Golden | None = None,
    precision: float = EvaluationSettings.model_fields["precision"].default,
    temperature: float = 1.0,
    unknown: Iterable[bytes | str] = (),
    notable: Notable | None = None,
    input_range: InputRange = "raw",
) -> dict[str, Any]:
    """Run the SavedModel and all variants over the raw test split, in batches.

    The SavedModel also classifies the eval split, on which the thresholds of the classes are chosen.

    Args:
        saved_model: Folder of the SavedModel.
        edge_model: Folder of `model_<variant>.tflite` and `labels.txt`.
        examples_uri: An `Examples` artifact of raw examples.
        thresholds: When a variant is blessed.
        golden: Collector of golden images and their expected probabilities; None collects none.
        precision: Share of a class's answers that must be right at and above its threshold.
        temperature: What the SavedModel's logits were divided by after training.
        unknown: Encoded images of none of the classes, as `modules.data.unknown_images.read` yields them; a text stands
            for a file that could not be read.
        notable: Collector of mistakes and uncertain answers; None collects none.
        input_range: The range of values that the float variants must take, as `edge.input_range`.

    Returns:
        The content of `metrics.json`: `blessed`, `reasons`, `labels`, `image_size`, `input_range`, `date`, `test`
        (`images`, `sha256`), `thresholds`, `runtime`, `threads`, `saved_model` (`accuracy`, `per_class`, `sha256`,
        `weights_sha256`), `calibration` (`Confidence.of_saved_model`) and `variants`, by name.

    Raises:
        ExportError: The SavedModel is missing or has no signature `edge`.
        DataError: An image has a label that the SavedModel does not have.
    """
    labels = saved_model_reader.read_labels(saved_model)
    image_size, _ = saved_model_reader.edge_shape(saved_model)
    server = _Server(saved_model)
    variants = {
        name: _Variant(name, content, labels, image_size, normalisation(name, *INPUT_RANGES[input_range]))
        for name, content in variants_in(edge_model).items()
    }
    if (beside := _labels_beside(edge_model)) != labels:
        for variant in variants.values():
            variant.reasons.append(f"{LABELS_FILE} beside the model differs from the SavedModel's: {beside}")
    reference, digest, first = (
        ClassifierCounts(labels),
        DataDigest(),
        np.zeros((0, image_size, image_size, 3), np.uint8),
    )
    confidence = Confidence(len(labels), precision, temperature)
    for encoded, truth, _ in _batches(examples_uri, labels, CHOOSING):
        confidence.add_eval(truth, server(encoded))
        report("edge evaluation: thresholds")
    for encoded, truth, files in _batches(examples_uri, labels):
        images = server.pixels(encoded, image_size)
        expected = server(encoded)
        reference.add(truth, expected, expected)
        confidence.add_test(SAVED_MODEL, truth, expected)
        for variant in variants.values():
            answers = variant.ask(images)
            if answers is not None:
                variant.counts.add(truth, answers, expected)
                confidence.add_test(variant.name, truth, answers)
        if golden:
            golden.offer(images, truth)
        if notable:
            notable.offer(files, encoded, images, truth, expected)
        for index, content in zip(truth, encoded, strict=True):
            digest.add(labels[index].encode() + b"\0" + content)
        first = first if len(first) else images
        report(f"edge evaluation: {reference.total} images")
    _classify_unknown(unknown, image_size, server, variants.values(), confidence)
    if golden:
        golden.write(server, {name: variant.ask for name, variant in variants.items()})
    if notable:
        report("edge evaluation: what mistakes depend on")
        notable.write(server)
    described = {
        name: {**_describe(variant, thresholds, first, name), "calibration": confidence.of_variant(name)}
        for name, variant in variants.items()
    }
    reasons = overall({name: facts["reasons"] for name, facts in described.items()}, thresholds.required)
    if not reference.total:
        reasons = [f"nothing was measured: the {SPLIT} split has no images"]
    return {
        "blessed": not reasons,
        "reasons": reasons,
        "labels": labels,
        "image_size": image_size,
        "input_range": input_range,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        SPLIT: {"images": reference.total, "sha256": digest.hexdigest()},
        "thresholds": dataclasses.asdict(thresholds) | {"required": list(thresholds.required)},
        "runtime": runtime(),
        "threads": cores(),
        "saved_model": {
            **reference.metrics(),
            "sha256": folder_digest(saved_model),
            "weights_sha256": saved_model_reader.weights_sha256(saved_model),
        },
        "calibration": confidence.of_saved_model(),
        "variants": described,
    }


def _describe(variant: _Variant, thresholds: Thresholds, images: np.ndarray, name: str) -> dict[str, Any]:
    runnable = images[:0] if variant.runner is None else variant.runner.values(images)
    arithmetic, in_half_precision = judge(name, variant.content, runnable, thresholds.min_agreement)
    latency, median = None, None
    if variant.runner is not None and len(images):
        report(f"edge evaluation: latency of {name}")
        measured = EdgeRunner(variant.content, threads=LATENCY_THREADS, normalisation=variant.normal).latency(images)
        latency, median = dataclasses.asdict(measured), measured.p50_ms
    gates = variant_gates(variant.counts, len(variant.content), thresholds, name, median)
    reasons = [*variant.reasons, *refusals(variant.counts, gates), *in_half_precision]
    facts = variant.facts
    return {
        "blessed": not reasons,
        "reasons": reasons,
        "gates": as_json(gates),
        **variant.counts.metrics(),
        **variant.counts.comparison(),
        "file": model_file(name),
        "bytes": len(variant.content),
        "sha256": hashlib.sha256(variant.content).hexdigest(),
        "input": _tensor(facts.inputs) if facts else None,
        "output": _tensor(facts.outputs) if facts else None,
        "ops": facts.operations() if facts else None,
        "min_runtime": facts.min_runtime if facts else None,
        "latency": latency,
        "arithmetic": arithmetic,
    }


def _tensor(tensors: tuple[inspection.Tensor, ...]) -> dict[str, Any] | None:
    return dataclasses.asdict(tensors[0]) | {"shape": list(tensors[0].shape)} if tensors else None


class _Server:
    """The SavedModel, called with encoded images as a server calls it; returns probabilities float32 `[N, C]`."""

    def __init__(self, saved_model: str) -> None:
        self._loaded = tf.saved_model.load(saved_model)

    def __call__(self, encoded: Sequence[bytes]) -> np.ndarray:
        signature = self._loaded.signatures[SERVING]
        return np.asarray(signature(**{IMAGE_BYTES: tf.constant(encoded, tf.string)})[PROBABILITIES])

    def pixels(self, encoded: Sequence[bytes], image_size: int) -> np.ndarray:
        """Return what its network sees of encoded images: uint8 `[N, S, S, 3]`."""
        serialized = [_example(content).SerializeToString() for content in encoded]
        transformed = self._loaded.signatures[TRANSFORM](**{SERIALIZED: tf.constant(serialized)})
        return np.asarray(from_raw(transformed[example_features.IMAGE], image_size))


def _example(content: bytes) -> tf.train.Example:
    values = {example_features.IMAGE: content, example_features.LABEL: b""}
    lists = {name: tf.train.BytesList(value=[value]) for name, value in values.items()}
    features = {name: tf.train.Feature(bytes_list=found) for name, found in lists.items()}
    return tf.train.Example(features=tf.train.Features(feature=features))


def _classify_unknown(
    unknown: Iterable[bytes | str],
    image_size: int,
    server: _Server,
    variants: Iterable[_Variant],
    confidence: Confidence,
) -> None:
    """Add the answers of all classifiers to images of none of the classes."""
    files = iter(unknown)
    while read := list(itertools.islice(files, BATCH)):
        encoded = [content for content in read if isinstance(content, bytes)]
        confidence.unusable += len(read) - len(encoded)
        if not encoded:
            continue
        confidence.add_unknown(SAVED_MODEL, server(encoded))
        images = server.pixels(encoded, image_size)
        for variant in variants:
            if (answers := variant.ask(images)) is not None:
                confidence.add_unknown(variant.name, answers)
        report("edge evaluation: images of none of the classes")


def _batches(
    examples_uri: str, labels: Sequence[str], split: str = SPLIT
) -> Iterator[tuple[list[bytes], np.ndarray, list[str]]]:
    """Yield encoded images `[N]`, indices into `labels` int64 `[N]` and files `[N]`."""
    if not records.split_files(examples_uri, split):
        return
    index = {label: position for position, label in enumerate(labels)}
    for encoded, names, files in records.named(examples_uri, split).batch(BATCH).prefetch(1).as_numpy_iterator():
        if unknown := sorted({name.decode(errors="replace") for name in names} - set(labels)):
            raise DataError(
                f"the {split} split has images of class {unknown[0]!r}, which the model does not have",
                "add images of this class to the train split",
            )
        indices = np.array([index[name.decode()] for name in names], np.int64)
        yield list(encoded), indices, [os.fsdecode(file) for file in files]


def _labels_beside(edge_model: str) -> list[str] | None:
    path = f"{edge_model}/{LABELS_FILE}"
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read().decode(errors="replace").splitlines()
