"""Count the images of each class in a split, and compute a digest that does not depend on their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import tensorflow as tf

from edgetune.modules.contracts.example_features import IMAGE_ID, LABEL
from edgetune.modules.storage.digests import DataDigest

Accumulator = tuple[Counter, DataDigest]


class SplitCounts(beam.CombineFn):
    """Reduce tf.Examples to `{"classes": {name: count}, "digest": 64 hexadecimal digits}`.

    The digest covers all pairs of pixel digest and label (`modules.storage.digests`).
    """

    def create_accumulator(self) -> Accumulator:
        return Counter(), DataDigest()

    def add_input(self, mutable_accumulator: Accumulator, element: tf.train.Example) -> Accumulator:
        classes, digest = mutable_accumulator
        label, image_id = (element.features.feature[key].bytes_list.value[0] for key in (LABEL, IMAGE_ID))
        classes[label.decode("utf-8")] += 1
        digest.add(image_id + b"\0" + label)
        return classes, digest

    def merge_accumulators(self, accumulators: Iterable[Accumulator]) -> Accumulator:
        classes, digest = self.create_accumulator()
        for counts, part in accumulators:
            classes.update(counts)
            digest.merge(part)
        return classes, digest

    def extract_output(self, accumulator: Accumulator) -> dict[str, Any]:
        classes, digest = accumulator
        return {"classes": dict(sorted(classes.items())), "digest": digest.hexdigest()}
