"""Read TensorFlow Data Validation's statistics: sizes and colours of the images, by split.

TFDV's own page, Facets, loads code from two hosts whenever it is opened, so the report shows the same numbers itself.
"""

from __future__ import annotations

from typing import Any

from edgetune.modules.storage import filesystem

FEATURES = {
    "width": "width, pixels",
    "height": "height, pixels",
    "aspect": "width / height",
    "bytes": "bytes of the file",
    "red": "mean of red, 0 to 255",
    "green": "mean of green, 0 to 255",
    "blue": "mean of blue, 0 to 255",
}
"""Description by feature, for the features that are shown."""


def statistics(folder: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Read StatisticsGen's artifact.

    Returns:
        `mean`, `std_dev`, `min`, `median`, `max` and `histogram`, a list of `[low, high, images]`, by feature and
        split, without features and splits that are missing or have no image.
    """
    from tensorflow_metadata.proto.v0 import statistics_pb2

    found: dict[str, dict[str, dict[str, Any]]] = {}
    for split in ("train", "eval", "test"):
        path = f"{folder}/Split-{split}/FeatureStats.pb"
        if not filesystem.exists(path):
            continue
        counted = statistics_pb2.DatasetFeatureStatisticsList.FromString(filesystem.read(path))
        by_name = {(feature.path.step or [feature.name])[0]: feature for feature in counted.datasets[0].features}
        for name in FEATURES:
            if name in by_name and by_name[name].num_stats.common_stats.num_non_missing:
                found.setdefault(name, {})[split] = _numbers(by_name[name].num_stats)
    return {name: found[name] for name in FEATURES if name in found}


def _numbers(counted: Any) -> dict[str, Any]:
    numbers = {key: float(getattr(counted, key)) for key in ("mean", "std_dev", "min", "median", "max")}
    # TFDV's other kind of histogram has equally many images in each bucket, and buckets of different widths.
    standard = next((h for h in counted.histograms if h.type == h.STANDARD), None)
    buckets = standard.buckets if standard else ()
    return {**numbers, "histogram": [[float(b.low_value), float(b.high_value), float(b.sample_count)] for b in buckets]}
