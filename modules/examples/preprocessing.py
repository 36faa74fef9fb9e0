"""Transform raw examples: images to raw uint8 of the model's size, labels to their indices.

Pixels are uint8, which take a quarter of the bytes of float32. Augmentation is not done here, because it must differ in
every epoch and Transform's output is fixed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

from edgetune.modules.contracts import example_features
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.images import decode
from edgetune.modules.images.reading import Reading


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Transform a batch of raw examples; the entry point for TensorFlow Transform.

    Args:
        inputs: Features of raw examples (`modules.contracts.example_features`), of which `image` and `label`, string
            `[N]`, and `plain`, int64 `[N]`, are used.
        custom_config: `image_size`, in pixels; `reading`, the options of `modules.images.reading.Reading` by name.

    Returns:
        `image`, string `[N]`, and `label_index`, int64 `[N]`. The vocabulary becomes the asset `labels.txt`: class
        names in sorted order, one per line.
    """
    label, reading = inputs[example_features.LABEL], Reading.of(custom_config["reading"])
    encoded, are_plain = inputs[example_features.IMAGE], inputs[example_features.PLAIN] > 0
    image = decode.decode_to_raw(encoded, custom_config["image_size"], reading, are_plain)
    [labels_file] = tft.experimental.ptransform_analyzer(
        inputs=[label],
        # `tft.vocabulary` sorts by frequency, so that one more image could change the index of every class.
        ptransform=SortedVocabulary(),
        output_dtypes=[tf.string],
        output_shapes=[[]],
        output_asset_default_values=[b"not yet known\n"],  # a lookup table cannot be built from an empty file
        name="labels",
    )
    return {
        example_features.IMAGE: image,
        example_features.LABEL_INDEX: tft.apply_vocabulary(label, labels_file, default_value=-1),
    }


class SortedVocabulary(tft_beam.experimental.PTransformAnalyzer):
    """Analyzer from batches of words, each a tuple of one ndarray, to the path of a text file with the sorted words."""

    def expand(self, input_or_inputs: beam.PCollection) -> beam.PCollection:
        return (
            input_or_inputs
            | "Words" >> beam.FlatMap(lambda batch: np.unique(batch[0]))
            | "Distinct" >> beam.Distinct()
            | "Gather" >> beam.combiners.ToList()
            | "Write" >> beam.Map(_write_sorted, f"{self.base_temp_dir}/{uuid.uuid4().hex}")
        )


def _write_sorted(words: Iterable[bytes], folder: str) -> np.ndarray:
    path = f"{folder}/{LABELS_FILE}"
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(b"".join(word + b"\n" for word in sorted(words)))
    return np.array(path, dtype=object)
