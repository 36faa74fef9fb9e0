"""Evaluator: TFX's Evaluator with its thresholds as separate execution properties."""

from edgetune.components.evaluator.component import Evaluator as Evaluator
