"""TwoPhaseTrainer: trains a classifier in two phases and exports it."""

from edgetune.components.two_phase_trainer.component import TwoPhaseTrainer

__all__ = ["TwoPhaseTrainer"]
