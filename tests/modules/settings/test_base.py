"""Settings to flat properties and back, also as a platform passes them."""

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


def as_passed(flat: dict[str, Any]) -> dict[str, Any]:
    """Return the properties as TFX's entry point on a platform receives them: lists as JSON, booleans as numbers."""
    return {
        key: json.dumps(value) if isinstance(value, list) else int(value) if isinstance(value, bool) else value
        for key, value in flat.items()
    }


@pytest.mark.parametrize("settings", [MODEL, TRAINING, EdgeSettings(variants=("int8",), required=())])
def test_settings_survive_a_round_trip_also_through_a_platform(settings):
    flat = flatten(settings, "x_")
    assert unflatten(type(settings), flat, "x_") == settings
    assert unflatten(type(settings), as_passed(flat), "x_") == settings
    assert as_passed(flat) != flat


def test_a_list_of_bounded_numbers_survives_a_round_trip():
    settings = DataSettings(path="/photos", background=(1, 2, 3), allow=("drift",))
    assert unflatten(DataSettings, as_passed(flatten(settings))) == settings


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("x_head_epochs", 0, "x_head_epochs is 0: .*greater than or equal to 1"),
        ("x_head_epochs", 2.5, "x_head_epochs is 2.5: "),
        ("x_fine_tune_learning_rate", float("nan"), "x_fine_tune_learning_rate is nan: "),
        ("x_class_weights", "some", "x_class_weights is 'some': "),
    ],
)
def test_an_invalid_value_is_reported_by_its_name(key, value, message):
    with pytest.raises(ConfigError, match=message):
        unflatten(TrainingSettings, {**flatten(TRAINING, "x_"), key: value}, "x_")
