"""Evaluator: TFX's, with its thresholds as properties of their own."""

from edgetune.components.evaluator.component import Evaluator as Evaluator
