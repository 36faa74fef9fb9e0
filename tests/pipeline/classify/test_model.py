"""What a path names is found by names alone, before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetune.modules.core.errors import BundleError
from edgetune.pipeline.classify.model import find


def test_bundles_models_and_saved_models_are_told_apart(tmp_path):
    for file in ("bundle/model_int8.tflite", "bundle/bundle.json", "served/saved_model.pb"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    bundle, served = tmp_path / "bundle", tmp_path / "served"
    assert (find(bundle).kind, find(bundle).path) == ("edge", bundle / "model_int8.tflite")
    assert find(bundle / "model_int8.tflite").path == bundle / "model_int8.tflite"
    assert (find(served).kind, find(served).path) == ("saved_model", served)
    with pytest.raises(BundleError, match="is a SavedModel, which has none"):
        find(served, "int8")
    with pytest.raises(BundleError, match="has no variant float16"):
        find(bundle, "float16")
    with pytest.raises(BundleError, match="does not exist"):
        find(tmp_path / "absent")


def test_the_folder_of_the_versions_leads_to_the_newest(tmp_path):
    for version in ("9", "1796010878", "1796010879", "releases"):
        (tmp_path / version).mkdir()
    with pytest.raises(BundleError, match="is the folder of 3 versions, and not one of them") as caught:
        find(tmp_path)
    assert caught.value.remedy == f"name one, such as the newest: {tmp_path / '1796010879'}"
    with pytest.raises(BundleError, match="contains no model_"):
        find(Path(tmp_path / "releases"))
