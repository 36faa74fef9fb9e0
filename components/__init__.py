"""The middle floor: TFX components, one package each, with `component.py` beside `executor.py`.

On Kubeflow and Vertex, TFX's entry point finds the class of an artifact by the name of its type: `components.EdgeModel`
is looked up here.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # Only what may be a class: Python asks here for submodules too, before it imports them.
    if name[:1].isupper():
        from edgetune.components.common import artifacts  # imports TFX, which takes seconds

        if hasattr(artifacts, name):
            return getattr(artifacts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
