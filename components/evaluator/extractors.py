"""Give TFMA its examples in small batches, to bound memory, and keep the model's answers.

TFX sizes the Evaluator's batches to one second of work on this machine, up to 1,000 images, and TFMA passes each batch
to the model in one piece. A network's activations take megabytes for each image, so a faster machine would need more
memory: gigabytes on an accelerator or many cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow_model_analysis as tfma

from edgetune.components.evaluator.keep_answers import DESTINATION, KeepAnswers

BATCH = 32
"""Images in a batch. 16 take less memory and more time; 64 are not faster (`docs/decisions.md`)."""
_PREDICTIONS = "ExtractPredictions"


def custom_extractors(**arguments: Any) -> list[tfma.extractors.Extractor]:
    """Return TFMA's extractors with two of ours: the first splits batches, and another writes the predictions.

    TFX's Evaluator calls this function by name.

    Args:
        **arguments: Arguments of `tfma.default_extractors`.
    """
    split = tfma.extractors.Extractor("SmallBatches", beam.FlatMap(small_batches))
    keep = tfma.extractors.Extractor("KeepAnswers", KeepAnswers(DESTINATION.get()))
    found = tfma.default_extractors(**arguments)
    after = [extractor.stage_name for extractor in found].index(_PREDICTIONS) + 1
    return [split, *found[:after], keep, *found[after:]]


def small_batches(extracts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Split TFX's extracts, an Arrow record batch with a row for each example, into parts of at most `BATCH` rows."""
    rows: pa.RecordBatch = extracts[tfma.ARROW_RECORD_BATCH_KEY]
    for start in range(0, rows.num_rows, BATCH):
        yield {**extracts, tfma.ARROW_RECORD_BATCH_KEY: rows.slice(start, BATCH)}
