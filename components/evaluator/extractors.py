"""What TFMA extracts from examples, in batches whose memory is bounded.

TFX reads batches for the Evaluator as large as one second of work on this machine, at most 1,000 images, and TFMA's
models take each batch in one piece. A network's activations are megabytes for each image, so the faster a machine is,
the more memory it would need: gigabytes on an accelerator or many cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow_model_analysis as tfma

BATCH = 32
"""Images given to a model at once. 16 take less memory and more time; 64 save no time (`docs/decisions.md`)."""


def custom_extractors(**arguments: Any) -> list[tfma.extractors.Extractor]:
    """TFMA's own extractors behind one that cuts batches. TFX's Evaluator calls it by this name.

    Args:
        arguments: Of `tfma.default_extractors`.
    """
    cut = tfma.extractors.Extractor("SmallBatches", beam.FlatMap(small_batches))
    return [cut, *tfma.default_extractors(**arguments)]


def small_batches(extracts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Extracts as TFX reads them, an Arrow record batch with a row for each example, cut into at most `BATCH` rows."""
    rows: pa.RecordBatch = extracts[tfma.ARROW_RECORD_BATCH_KEY]
    for start in range(0, rows.num_rows, BATCH):
        yield {**extracts, tfma.ARROW_RECORD_BATCH_KEY: rows.slice(start, BATCH)}
