"""Settings as flat properties, and back: also as a platform hands them on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.settings.run import (
    DataSettings,
    EdgeSettings,
    ModelSettings,
    TrainingSettings,
    flatten,
    unflatten,
)

MODEL = ModelSettings(weights="none", head={"units": (8, 4), "dropout": (0.1, 0.2)})
TRAINING = TrainingSettings(baselines=("fixed_features",), augmentation={"flip_horizontal": False})


def handed_on(flat: dict[str, Any]) -> dict[str, Any]:
    """As TFX's entry point on a platform has them: lists as JSON, truth as numbers."""
    return {
        key: json.dumps(value) if isinstance(value, list) else int(value) if isinstance(value, bool) else value
        for key, value in flat.items()
    }


@pytest.mark.parametrize("settings", [MODEL, TRAINING, EdgeSettings(variants=("int8",), required=())])
def test_settings_come_back_as_they_were_also_from_a_platform(settings):
    flat = flatten(settings, "x_")
    assert unflatten(type(settings), flat, "x_") == settings
    assert unflatten(type(settings), handed_on(flat), "x_") == settings
    assert handed_on(flat) != flat


def test_a_list_of_numbers_with_bounds_comes_back_too():
    settings = DataSettings(path="/photos", background=(1, 2, 3), allow=("drift",))
    assert unflatten(DataSettings, handed_on(flatten(settings))) == settings


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("x_head_epochs", 0, "x_head_epochs is 0: .*greater than or equal to 1"),
        ("x_head_epochs", 2.5, "x_head_epochs is 2.5: "),
        ("x_fine_tune_learning_rate", float("nan"), "x_fine_tune_learning_rate is nan: "),
        ("x_class_weights", "some", "x_class_weights is 'some': "),
    ],
)
def test_a_value_that_no_configuration_could_have_is_named(key, value, message):
    with pytest.raises(ConfigError, match=message):
        unflatten(TrainingSettings, {**flatten(TRAINING, "x_"), key: value}, "x_")
