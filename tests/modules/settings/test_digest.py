"""Which settings change the digest of a configuration."""

from __future__ import annotations

import json
from typing import Any

from edgetune.modules.settings.run import RunSettings, changed, digest, tree_of


def settings(**changes: Any) -> RunSettings:
    return RunSettings.model_validate({"name": "birds", "data": {"path": "/photos"}, **changes})


def test_where_a_run_executes_does_not_change_the_digest():
    here = digest(tree_of(settings()))
    assert digest(tree_of(settings(platform={"retries": 5, "image": "i"}, state={"root": "gs://b/r"}))) == here
    assert digest(tree_of(settings(training={"seed": 2}))) != here


def test_shipped_weights_have_the_same_name_in_every_checkout(root):
    tree = tree_of(settings(model={"weights": str(root / "weights" / "w.safetensors")}))
    assert tree["model"]["weights"] == "edgetune:weights/w.safetensors"
    assert tree_of(settings())["model"]["weights"] == "imagenet"


def test_values_changed_for_a_run_give_the_digest_of_the_same_configuration():
    values = {"training.head.epochs": 3, "evaluation.min_accuracy": 0.5}
    before = tree_of(settings())
    kept = json.dumps(before)
    after = changed(before, values)
    configured = settings(training={"head": {"epochs": 3}}, evaluation={"min_accuracy": 0.5})
    assert digest(after) == digest(tree_of(configured)) != digest(before)
    assert json.dumps(before) == kept
