"""Evaluator: TFX's, with its thresholds as properties of their own."""

from components.evaluator.component import Evaluator as Evaluator
