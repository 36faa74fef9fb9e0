"""Count the images of each class in a split, choose samples, and compute a digest; all whatever their order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import tensorflow as tf

from edgetune.modules.contracts.example_features import IMAGE_ID, LABEL, SOURCE
from edgetune.modules.storage.digests import DataDigest

Accumulator = tuple[Counter, DataDigest, dict[str, list[tuple[bytes, str]]]]
SAMPLES = 3
"""Images of each class that the report shows, from each split."""


class SplitCounts(beam.CombineFn):
    """Reduce tf.Examples to `{"classes": {name: count}, "digest": 64 hexadecimal digits, "samples": {name: [file]}}`.

    The digest covers all pairs of pixel digest and label (`modules.storage.digests`). The samples of a class are the
    files of its smallest pixel digests, which is a choice at random that is the same in each run.
    """

    def create_accumulator(self) -> Accumulator:
        return Counter(), DataDigest(), {}

    def add_input(self, mutable_accumulator: Accumulator, element: tf.train.Example) -> Accumulator:
        classes, digest, samples = mutable_accumulator
        label, image_id, source = (
            element.features.feature[key].bytes_list.value[0] for key in (LABEL, IMAGE_ID, SOURCE)
        )
        name = label.decode("utf-8")
        classes[name] += 1
        digest.add(image_id + b"\0" + label)
        samples[name] = _first([*samples.get(name, ()), (image_id, os.fsdecode(source))])
        return classes, digest, samples

    def merge_accumulators(self, accumulators: Iterable[Accumulator]) -> Accumulator:
        classes, digest, samples = self.create_accumulator()
        for counts, part, chosen in accumulators:
            classes.update(counts)
            digest.merge(part)
            for name, found in chosen.items():
                samples[name] = _first([*samples.get(name, ()), *found])
        return classes, digest, samples

    def extract_output(self, accumulator: Accumulator) -> dict[str, Any]:
        classes, digest, samples = accumulator
        files = {name: [file for _, file in found] for name, found in sorted(samples.items())}
        return {"classes": dict(sorted(classes.items())), "digest": digest.hexdigest(), "samples": files}


def _first(found: list[tuple[bytes, str]]) -> list[tuple[bytes, str]]:
    return sorted(found)[:SAMPLES]
