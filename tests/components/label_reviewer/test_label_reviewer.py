"""LabelReviewer: flipped labels are named with pictures, and stop a run only if that is wanted."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tfx import types
from tfx.types import standard_artifacts

from edgetune.components.common.artifacts import DatasetFindings, IngestReport
from edgetune.components.label_reviewer import LabelReviewer
from edgetune.components.label_reviewer.executor import Executor
from edgetune.modules.data.findings import Finding, FindingsError
from edgetune.modules.settings.run import DataSettings
from edgetune.modules.training import raw_features
from tests.helpers import recorded_shards
from tests.tiny import backbone
from tests.tiny import model as tiny_model

EACH = {"train": 24, "eval": 3, "test": 3}
FLIPPED = {"train": {5: "blue"}, "test": {1: "red"}}
"""By split and number of the image; every third image is blue, green and red."""


def component(**changes: object) -> LabelReviewer:
    return LabelReviewer(
        examples=types.Channel(type=standard_artifacts.Examples),
        report=types.Channel(type=IngestReport),
        model=backbone.settings(),
        data=DataSettings(path="/photos", max_side=None, **changes),
        seed=2,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Return a folder of examples with two wrong labels, and of a report."""
    folder = tmp_path_factory.mktemp("reviewed")
    for number, (split, count) in enumerate(EACH.items()):
        pairs = [
            (tiny_model.png(tiny_model.image(label, 1000 * number + seed)), label)
            for seed in range(count)
            for label in tiny_model.LABELS
        ]
        for row, label in FLIPPED.get(split, {}).items():
            pairs[row] = (pairs[row][0], label)
        tiny_model.write_raw(folder / "examples", split, pairs, [f"{split} {row}" for row in range(len(pairs))])
    (folder / "report").mkdir()
    splits = dict.fromkeys(EACH, dict.fromkeys(tiny_model.LABELS, 1))
    (folder / "report" / "ingest.json").write_text(json.dumps({"splits": splits}))
    return folder


def run(written: Path, folder: Path, **changes: object) -> tuple[types.Artifact, list[Finding]]:
    examples, report, made = standard_artifacts.Examples(), IngestReport(), DatasetFindings()
    examples.uri, report.uri = str(written / "examples"), str(written / "report")
    recorded_shards.stamp(examples)
    made.uri = str(folder / "LabelReviewer" / "findings" / "1")
    inputs = {"examples": [examples], "report": [report]}
    Executor().Do(inputs, {"findings": [made]}, dict(component(**changes).exec_properties))
    listed = json.loads(Path(made.uri, "findings.json").read_text())["findings"]
    return made, [Finding.of({key: found[key] for key in found if key != "allowed"}) for found in listed]


def test_wrong_labels_are_named_with_their_pictures_and_stop_a_run_only_beyond_the_bound(
    monkeypatch, tmp_path, written
):
    backbone.use(monkeypatch)
    made, found = run(written, tmp_path)
    [errors] = [finding for finding in found if finding.name == "label_errors"]
    assert errors.informs
    named = {picture.file: (picture.given, picture.looks_like) for picture in errors.pictures}
    assert named["blue/train-5.png"] == ("blue", "red") and named["red/test-1.png"] == ("red", "green")
    assert list(errors.files) == [picture.file for picture in errors.pictures]
    assert errors.files[0] == "blue/train-5.png" and len(errors.files) < 9
    assert made.get_int_custom_property("label_errors") == len(errors.files)
    assert f"{len(errors.files)} labels of 90 " in errors.cause
    thumbnail = np.asarray(Image.open(io.BytesIO(base64.b64decode(errors.pictures[0].jpeg))), float)
    assert thumbnail.shape == (32, 32, 3)  # not enlarged
    strongest = {"blue": 2, "green": 1, "red": 0}[errors.pictures[0].looks_like]
    assert thumbnail.mean(axis=(0, 1)).argmax() == strongest

    # The features are there: neither CrossValidator nor another run computes them again.
    assert (tmp_path / "CrossValidator" / "activation_cache").is_dir()
    monkeypatch.setattr(raw_features, "build_backbone", lambda *_: pytest.fail("the cache was not used"))
    with pytest.raises(FindingsError, match=r"more than data.max_label_errors 1\.0%.* probably wrong") as caught:
        run(written, tmp_path, max_label_errors=0.01)
    [stopped] = caught.value.found
    assert stopped.pictures == errors.pictures and not stopped.informs
    assert caught.value.remedy.endswith("with --allow label_errors beside all else that you allow")
    allowed, _ = run(written, tmp_path, max_label_errors=0.01, allow=("label_errors", "leakage"))
    assert allowed.get_string_custom_property("allowed") == '["label_errors"]'
    assert allowed.get_string_custom_property("allowed_by")


def test_only_what_it_depends_on_is_in_its_key():
    assert component().exec_properties["max_side"] == 0 and component().exec_properties["training_seed"] == 2
    assert not [name for name in component().exec_properties if "head" in name]
    assert component(allow=("small_class:owl",)).exec_properties == component().exec_properties
    allowed = component(allow=("small_class:owl", "label_errors")).exec_properties
    assert allowed["allow"] == '["label_errors"]' and allowed["allowed_by"]
