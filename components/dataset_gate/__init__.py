"""DatasetGate: stops the run if the data are not fit for training."""

from edgetune.components.dataset_gate.component import DatasetGate

__all__ = ["DatasetGate"]
