"""What the function costs that every exported graph has."""

from __future__ import annotations

from edgetune.modules.images import graph_read


def test_the_graph_is_small():
    """Tracing, loading and optimizing it take time in proportion (benchmarks/serving/reading.py)."""
    graph = graph_read._function().graph.as_graph_def()
    nodes = len(graph.node) + sum(len(function.node_def) for function in graph.library.function)
    assert nodes < 900 and len(graph.library.function) < 40
