"""Write the model's answers beside TFMA's results, from the predictions that TFMA computes its metrics from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma

from edgetune.modules.contracts.example_features import IMAGE_ID, LABEL
from edgetune.modules.evaluation.answers import PREFIX, SCHEMA, SUFFIX


@dataclass(frozen=True)
class Destination:
    """Where the answers go, and the names of the classes."""

    evaluation: str
    """Folder or URL of the `ModelEvaluation` artifact."""
    labels: Sequence[str]
    """In the order of the model's outputs."""


DESTINATION: ContextVar[Destination] = ContextVar("DESTINATION")
"""Set around TFX's executor, which passes no folder to the function that makes extractors. It is not in the module of
that function, because TFX reloads it."""


class KeepAnswers(beam.PTransform):
    """Write the answers in a batch of extracts, and return the extracts unchanged."""

    def __init__(self, destination: Destination) -> None:
        super().__init__()
        self._to = destination

    def expand(self, input_or_inputs: beam.PCollection) -> beam.PCollection:
        _ = (
            input_or_inputs
            | "Rows" >> beam.FlatMap(rows, list(self._to.labels))
            | "Write" >> beam.io.WriteToParquet(f"{self._to.evaluation}/{PREFIX}", SCHEMA, file_name_suffix=SUFFIX)
        )
        return input_or_inputs


def rows(extracts: dict[str, Any], labels: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row of `modules.evaluation.answers` for each example of a batch.

    Raises:
        ValueError: The model's outputs are not one for each class.
    """
    features = extracts[tfma.FEATURES_KEY]
    probabilities = np.asarray(extracts[tfma.PREDICTIONS_KEY], np.float32)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(labels):
        raise ValueError(f"the model gives probabilities of shape {probabilities.shape} for {len(labels)} classes")
    for image_id, label, scores in zip(features[IMAGE_ID], features[LABEL], probabilities, strict=True):
        yield {
            "image_id": image_id[0].decode(),
            "label": label[0].decode(),
            "predicted": labels[int(scores.argmax())],
            "probabilities": scores,
        }
