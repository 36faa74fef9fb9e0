"""Drift of the train split from a baseline, measured on statistics as StatisticsGen writes them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import tensorflow_data_validation as tfdv

from edgetune.components.dataset_gate.drift import drifted


def statistics(folder: Path, labels: str, red: float) -> str:
    frame = pd.DataFrame({"label": list(labels), "red": [red + number % 9 for number in range(len(labels))]})
    path = folder / "Split-train" / "FeatureStats.pb"
    path.parent.mkdir(parents=True)
    path.write_bytes(tfdv.generate_statistics_from_dataframe(frame).SerializeToString())
    return str(folder)


def test_drift_is_from_the_baseline_by_more_than_the_bound(tmp_path):
    now = statistics(tmp_path / "now", 80 * "a" + 20 * "b", 200.0)
    before = statistics(tmp_path / "before", 50 * "ab", 20.0)
    assert [found.subject for found in drifted(now, before, 0.29, 0.9)] == ["label", "red"]
    assert [found.subject for found in drifted(now, before, 0.31, 0.2)] == ["red"]
    assert drifted(now, now, 0.0, 0.0) == []
