"""The digest of a configuration: what counts, and what a run may change of it."""

from __future__ import annotations

import json
from typing import Any

from edgetune.modules.settings.run import RunSettings, changed, digest, tree_of


def settings(**changes: Any) -> RunSettings:
    return RunSettings.model_validate({"name": "birds", "data": {"path": "/photos"}, **changes})


def test_where_a_run_takes_place_does_not_count():
    here = digest(tree_of(settings()))
    assert digest(tree_of(settings(platform={"retries": 5, "image": "i"}, state={"root": "gs://b/r"}))) == here
    assert digest(tree_of(settings(training={"seed": 2}))) != here


def test_weights_of_this_code_count_alike_wherever_it_lies(root):
    tree = tree_of(settings(model={"weights": str(root / "weights" / "w.safetensors")}))
    assert tree["model"]["weights"] == "edgetune:weights/w.safetensors"
    assert tree_of(settings())["model"]["weights"] == "imagenet"


def test_what_a_run_changed_counts_as_if_it_had_been_configured():
    values = {"training.head.epochs": 3, "evaluation.min_accuracy": 0.5}
    before = tree_of(settings())
    kept = json.dumps(before)
    after = changed(before, values)
    configured = settings(training={"head": {"epochs": 3}}, evaluation={"min_accuracy": 0.5})
    assert digest(after) == digest(tree_of(configured)) != digest(before)
    assert json.dumps(before) == kept
