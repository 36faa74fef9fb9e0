"""Stops a run on data that should not be trained on."""

from edgetune.components.dataset_gate.component import DatasetGate

__all__ = ["DatasetGate"]
