"""Pause garbage collection during heavy imports.

The objects that importing TensorFlow and TFX creates live as long as the process, so scanning them is wasted time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause garbage collection inside the context, and exempt the objects that exist at its end for good."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
