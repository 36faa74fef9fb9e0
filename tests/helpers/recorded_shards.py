"""Record the shards of examples that a test has written, as their writer would have."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tfx.types.artifact import Artifact

from edgetune.modules.examples import shards


def record(folder: Path) -> str:
    """Write `shards.json` for all splits in a folder, and return its digest."""
    records = {}
    for split in sorted(path for path in folder.glob("Split-*") if path.is_dir()):
        files = [str(path) for path in split.iterdir()]
        found = tf.data.TFRecordDataset(files, "GZIP").reduce(0, lambda total, _: total + 1)
        records[split.name.removeprefix("Split-")] = int(found)
    return shards.write(str(folder), records)


def stamp(artifact: Artifact) -> Artifact:
    """Record the shards in the folder of an artifact, also on the artifact, and return it."""
    artifact.set_string_custom_property(shards.PROPERTY, record(Path(artifact.uri)))
    return artifact
