"""EdgeEvaluator: every LiteRT model measured against the SavedModel, and blessed or refused."""

from edgetune.components.edge_evaluator.component import EdgeEvaluator as EdgeEvaluator
