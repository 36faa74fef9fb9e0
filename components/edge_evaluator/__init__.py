"""EdgeEvaluator: measures every LiteRT model against the SavedModel, and blesses or refuses it."""

from edgetune.components.edge_evaluator.component import EdgeEvaluator as EdgeEvaluator
