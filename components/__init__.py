"""TFX components, one package each, with the interface in `component.py` and the work in `executor.py`.

On Kubeflow and Vertex, TFX's entry point imports the class of an artifact by its type name: for
`edgetune.components.EdgeModel` it looks up `EdgeModel` here.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # Only names that may be classes: Python also asks for submodules here before it imports them.
    if name[:1].isupper():
        from edgetune.components.common import artifacts  # imports TFX, which takes seconds

        if hasattr(artifacts, name):
            return getattr(artifacts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
