"""Measure one backbone: size and latency of its converted network, and accuracy of a linear head on its features."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgetune.modules.conversion.convert import convert
from edgetune.modules.core.errors import ExportError
from edgetune.modules.data.label_errors import judged, out_of_fold
from edgetune.modules.evaluation.edge import LATENCY_THREADS
from edgetune.modules.examples.calibration_images import choose
from edgetune.modules.images.decode import decode
from edgetune.modules.litert import inspection
from edgetune.modules.litert.crash_probe import crash_reason
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.modules.models.classifier import build_classifier
from edgetune.modules.serving.edge_only import export_edge
from edgetune.modules.settings.run import ModelSettings, Variant
from edgetune.modules.training.image_features import features_of
from edgetune.pipeline.suggest.backbones import name_of
from edgetune.pipeline.suggest.choice import Candidate
from edgetune.pipeline.suggest.sample import Sample

_CALIBRATION = 8
"""Images that calibrate the quantization: size and latency do not depend on it, and the head is not trained."""


def measure(
    model: ModelSettings, sample: Sample, variant: Variant, seed: int, wanted: Callable[[Candidate], bool]
) -> Candidate:
    """Measure a backbone.

    Size and latency are those of the network that a run would convert, with the configured head and random weights in
    it. The accuracy is that of a logistic regression on the pooled features of the frozen float32 backbone: each image
    is answered by one that has seen neither it nor a near-duplicate of it, as LabelReviewer judges labels.

    Args:
        model: The backbone, its weights, the image size and the head.
        sample: The images.
        variant: What to convert the network to.
        seed: Of the head's weights.
        wanted: Called with size and latency; if it returns False, the accuracy is not measured, which takes longest.

    Raises:
        WeightsError: The weights are unavailable, or do not match the architecture.
        ExportError: The network cannot be converted, or phones cannot use the result.
    """
    found = _converted(model, sample, variant, seed)
    if not wanted(found):
        return found
    features = features_of(sample.encoded(), model, sample.reading, seed)
    probabilities = out_of_fold(features, sample.label, sample.group, len(sample.classes))
    rows = judged(probabilities)
    return replace(found, correct=(probabilities.argmax(axis=1) == sample.label)[rows])


def _converted(model: ModelSettings, sample: Sample, variant: Variant, seed: int) -> Candidate:
    classes = len(sample.classes)
    chosen = choose(sample.label, _CALIBRATION)
    images = np.stack(
        [decode(sample.files[row].read_bytes(), model.image_size, sample.reading).numpy() for row in chosen]
    )
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        export_edge(build_classifier(model, classes, seed).model, folder)
        [content] = convert(folder, [variant], images).values()
    problems = inspection.problems(inspection.inspect(content), variant, model.image_size, classes)
    if crashed := crash_reason(content, 1):
        problems.append(crashed)
    if problems:
        raise ExportError(f"its {variant} {'; it '.join(problems)}", "take another backbone or variant")
    latency = EdgeRunner(content, threads=LATENCY_THREADS).latency(images)
    return Candidate(name_of(model), latency.p50_ms, len(content))
