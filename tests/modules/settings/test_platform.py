"""Resources of containers: defaults, limits and accelerators."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from edgetune.modules.settings.execution import Accelerator, ComponentResources, PlatformSettings, Resources


def test_unset_resources_of_a_component_are_taken_from_the_default():
    resources = ComponentResources.model_validate(
        {
            "default": {"cpu": 2, "memory_gb": 8},
            "TwoPhaseTrainer": {"cpu": 8, "accelerator": "NVIDIA_TESLA_T4", "accelerator_count": 2},
        }
    )
    trainer = Resources(cpu=8, memory_gb=8, accelerator="NVIDIA_TESLA_T4", accelerator_count=2)
    assert resources.of("TwoPhaseTrainer") == trainer
    assert resources.of("Transform") == Resources(cpu=2, memory_gb=8)
    assert ComponentResources().of("Transform") == Resources()


def test_a_default_accelerator_keeps_its_count():
    resources = ComponentResources.model_validate({"default": {"accelerator": "NVIDIA_L4", "accelerator_count": 4}})
    assert resources.of("Evaluator") == Resources(accelerator="NVIDIA_L4", accelerator_count=4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"TwoPhaseTrainer": {"accelerator": "NVIDIA_TESLA_T5"}},
        {"TwoPhaseTrainer": {"accelerator_count": 0}},
        {"TwoPhaseTrainer": {"cpu": 0}},
        {"TwoPhaseTrainer": {"cpu": 97}},
        {"TwoPhaseTrainer": {"memory_gb": 625}},
        {"Trainer": {"cpu": 1}},
    ],
)
def test_resources_that_no_platform_has_are_refused(wrong):
    with pytest.raises(ValidationError):
        PlatformSettings.model_validate({"resources": wrong})


def test_every_accelerator_exists_on_vertex():
    types = pytest.importorskip("google.cloud.aiplatform_v1.types")
    known = {kind.name for kind in types.AcceleratorType}
    newer = {
        "NVIDIA_H100_MEGA_80GB",
        "NVIDIA_H200_141GB",
        "NVIDIA_B200",
    }  # than the client library that is compatible with TFX
    assert {name for name in get_args(Accelerator) if name not in newer} <= known
    assert "NVIDIA_TESLA_K80" not in get_args(Accelerator)  # no longer offered by Google
