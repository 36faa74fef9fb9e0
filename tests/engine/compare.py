"""Compare the artifacts of two runs over the same images on different engines.

Engines order and shard as they like, and sum floats in another order: examples are compared as multisets, floats within
a tolerance. Each function returns the differences in a few words, and nothing if there are none.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from edgetune.modules.contracts.example_features import SPLITS
from edgetune.modules.evaluation import tfma_results
from edgetune.modules.examples.records import serialized
from edgetune.pipeline.metadata.outcome import Outcome

TOLERANCE = 1e-5
_SHOWN = 5


def outcomes(left: Outcome, right: Outcome) -> dict[str, list[str]]:
    """Return the differences by artifact, `<node>.<output>`, for all artifacts of both runs before the trainer."""
    found = {}
    for name, check in CHECKS.items():
        node, _, key = name.partition(".")
        artifacts = [outcome.node(node).artifact(key) for outcome in (left, right)]
        if any(artifacts):
            missing = [which for which, artifact in zip(("left", "right"), artifacts, strict=True) if artifact is None]
            found[name] = missing or list(check(*(artifact.uri for artifact in artifacts)))[:_SHOWN]
    return found


def metrics(left: str, right: str) -> list[str]:
    """Return the differences between two evaluations by the Evaluator: overall, by class, and the confusions."""
    found = list(differences(tfma_results.overall_metrics(left), tfma_results.overall_metrics(right), "overall"))
    found += differences(tfma_results.per_class(left), tfma_results.per_class(right), "by class")
    matrices = [tfma_results.confusion_matrix(uri) for uri in (left, right)]
    if any(matrix is None for matrix in matrices):
        return [*found, "an evaluation has no confusion matrix"]
    (names, one), (other_names, other) = matrices
    return found + list(differences([names, one.tolist()], [other_names, other.tolist()], "confusion"))


def differences(left: Any, right: Any, where: str = "") -> Iterator[str]:
    """Yield the differences between trees of dicts, lists, numbers and texts."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys(), key=str):
            if key in left and key in right:
                yield from differences(left[key], right[key], f"{where}.{key}")
            else:
                yield f"{where}.{key} is on one side only"
    elif isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            yield f"{where} has {len(left)} and {len(right)} items"
            return
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from differences(one, other, f"{where}[{index}]")
    elif isinstance(left, float) and isinstance(right, float):
        if not (math.isclose(left, right, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or left != left and right != right):
            yield f"{where}: {left} and {right}"
    elif left != right:
        yield f"{where}: {left!r} and {right!r}"


def examples(uri: str, split: str) -> Counter[str]:
    """Count each example, by the digest of all its features."""
    return Counter(_digest(record) for record in serialized(uri, split).as_numpy_iterator())


def _digest(record: bytes) -> str:
    # The order of features in a record depends on the writer.
    content = tf.train.Example.FromString(record).SerializeToString(deterministic=True)
    return hashlib.sha256(content).hexdigest()


def _examples(left: str, right: str) -> Iterator[str]:
    for split in SPLITS:
        one, other = examples(left, split), examples(right, split)
        if not one:
            yield f"{split} is empty"
        if one.total() != other.total():
            yield f"{split} has {one.total()} and {other.total()} examples"
        elif one != other:
            yield f"{split}: {(one - other).total()} of {one.total()} examples differ"


def _report(left: str, right: str) -> Iterator[str]:
    for name, read in (("ingest.json", json.loads), ("rejected.csv", str)):
        yield from differences(*(read(Path(uri, name).read_text(encoding="utf-8")) for uri in (left, right)), name)


def _findings(left: str, right: str) -> Iterator[str]:
    one, other = (json.loads(Path(uri, "findings.json").read_text(encoding="utf-8")) for uri in (left, right))
    yield from differences(one, other, "findings")


def _vocabulary(left: str, right: str) -> Iterator[str]:
    one, other = (
        {path.name: path.read_text(encoding="utf-8") for path in Path(uri, "transform_fn", "assets").iterdir()}
        for uri in (left, right)
    )
    if not one:
        yield "a vocabulary is missing"
    yield from differences(one, other, "assets")


def _statistics(left: str, right: str) -> Iterator[str]:
    yield from _messages(left, right, "FeatureStats.pb", statistics_pb2.DatasetFeatureStatisticsList, _by_feature)


def _anomalies(left: str, right: str) -> Iterator[str]:
    yield from _messages(left, right, "SchemaDiff.pb", anomalies_pb2.Anomalies, json_format.MessageToDict)


def _messages(
    left: str, right: str, name: str, kind: type[Message], plain: Callable[[Any], dict[str, Any]]
) -> Iterator[str]:
    found = [sorted(str(path.relative_to(uri)) for path in Path(uri).rglob(name)) for uri in (left, right)]
    if not found[0] or found[0] != found[1]:
        yield f"files {found[0]} and {found[1]}"
        return
    for file in found[0]:
        one, other = (plain(kind.FromString(Path(uri, file).read_bytes())) for uri in (left, right))
        yield from differences(one, other, file)


def _by_feature(statistics: Any) -> dict[str, Any]:
    """Return the statistics by dataset and feature: their order in the file is arbitrary."""
    return {
        dataset.name: {
            "examples": dataset.num_examples,
            **{
                feature.name or ".".join(feature.path.step): json_format.MessageToDict(feature)
                for feature in dataset.features
            },
        }
        for dataset in statistics.datasets
    }


CHECKS: dict[str, Callable[[str, str], Iterator[str]]] = {
    "ImageExampleGen.examples": _examples,
    "ImageExampleGen.report": _report,
    "StatisticsGen.statistics": _statistics,
    "ExampleValidator.anomalies": _anomalies,
    "DatasetGate.findings": _findings,
    "Transform.transformed_examples": _examples,
    "Transform.transform_graph": _vocabulary,
}
"""Comparison by `<node>.<output>`; each gets two URIs."""
