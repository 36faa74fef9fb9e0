"""What is in a split, as one reduction: how often each class, and a digest that does not depend on any order."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import tensorflow as tf

from modules.records import IMAGE_ID, LABEL

_MODULUS = 2**256
Accumulator = tuple[Counter, int]


class Tally(beam.CombineFn):
    """tf.Examples to `{"classes": {name: count}, "digest": 64 hexadecimal digits}`.

    The digest is the sum of the SHA-256 of all pairs of pixels' digest and label, modulo 2^256: equal for the same
    images under the same labels, in whatever order and number of files.
    """

    def create_accumulator(self) -> Accumulator:
        return Counter(), 0

    def add_input(self, mutable_accumulator: Accumulator, element: tf.train.Example) -> Accumulator:
        classes, total = mutable_accumulator
        label, image_id = (element.features.feature[key].bytes_list.value[0] for key in (LABEL, IMAGE_ID))
        classes[label.decode("utf-8")] += 1
        return classes, (total + int.from_bytes(hashlib.sha256(image_id + b"\0" + label).digest(), "big")) % _MODULUS

    def merge_accumulators(self, accumulators: Iterable[Accumulator]) -> Accumulator:
        classes: Counter[str] = Counter()
        total = 0
        for counts, part in accumulators:
            classes.update(counts)
            total = (total + part) % _MODULUS
        return classes, total

    def extract_output(self, accumulator: Accumulator) -> dict[str, Any]:
        classes, total = accumulator
        return {"classes": dict(sorted(classes.items())), "digest": f"{total:064x}"}
