"""What InfraValidator is given of the tiny model: photographs in class folders, their examples, and the answers."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from edgetune.components.image_example_gen.raw_example import RawExample, from_image
from edgetune.modules.contracts.signatures import IMAGE_BYTES, PROBABILITIES, SERVING
from edgetune.modules.evaluation.answers import SCHEMA
from edgetune.modules.evaluation.originals import Location
from edgetune.modules.images.reading import Reading
from tests.helpers import recorded_shards
from tests.tiny import edge, model

READING = Reading(1_000_000)


@dataclass(frozen=True)
class Given:
    """Folders of the artifacts, and of the photographs."""

    photos: Path
    examples: Path
    evaluation: Path
    report: Path
    sources: tuple[str, ...]
    """Of the photographs, relative to their folder."""
    location: Location


@functools.cache
def loaded(saved_model: str) -> Any:
    """Return a SavedModel, loaded once for all tests of a process."""
    return tf.saved_model.load(saved_model)


def photographs(each: int = 2) -> dict[str, bytes]:
    """Return PNGs by their path: `each` of every class."""
    numbered = enumerate(model.examples(each))
    return {f"{label}/{number}.png": model.png(pixels) for number, (pixels, label) in numbered}


def write_examples(photos: Path, examples: Path, files: Mapping[str, bytes]) -> list[RawExample]:
    """Write photographs by their path, and their raw examples as those of the test split."""
    shard = examples / "Split-test" / "data-00000-of-00001.gz"
    shard.parent.mkdir(parents=True)
    made: list[RawExample] = []
    for source, content in files.items():
        path = photos / source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        made.append(from_image(content, path.parent.name, source, READING).value)
    with tf.io.TFRecordWriter(str(shard), "GZIP") as writer:
        for raw in made:
            writer.write(raw.example)
    recorded_shards.record(examples)
    return made


def write(
    folder: Path,
    files: Mapping[str, bytes] | None = None,
    measured: Callable[[np.ndarray], np.ndarray] = lambda probabilities: probabilities,
) -> Given:
    """Write photographs, and what ImageExampleGen and the Evaluator make of them.

    Args:
        folder: Where to write.
        files: Photographs by their path, `<class>/<name>`.
        measured: The tiny model's probabilities, float32 `[N, C]`, to those that the evaluation has.
    """
    files = photographs() if files is None else files
    location = Location("images", str(folder / "photos"), READING)
    given = Given(*(folder / name for name in ("photos", "examples", "evaluation", "report")), tuple(files), location)
    made = write_examples(given.photos, given.examples, files)
    for path in (given.evaluation, given.report):
        path.mkdir(parents=True)
    served = loaded(edge.saved_model()).signatures[SERVING]
    encoded = [tf.train.Example.FromString(raw.example).features.feature["image"].bytes_list.value[0] for raw in made]
    scores = measured(np.asarray(served(**{IMAGE_BYTES: tf.constant(encoded, tf.string)})[PROBABILITIES]))
    rows = {
        "image_id": [raw.image_id for raw in made],
        "label": [raw.label for raw in made],
        "predicted": [model.LABELS[best] for best in scores.argmax(axis=1)],
        "probabilities": scores.tolist(),
    }
    pq.write_table(pa.table(rows, SCHEMA), given.evaluation / "answers-00000-of-00001.parquet")
    source = {"kind": location.kind, "base": location.base, **asdict(READING)}
    (given.report / "source.json").write_text(json.dumps(source))
    return given
