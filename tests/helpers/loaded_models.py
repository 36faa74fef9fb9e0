"""Load each SavedModel that a test run makes once only once in a process: its reading graph takes seconds each time."""

from __future__ import annotations

import functools
import os
from typing import Any

from tests.tiny import session

_REMEMBERING = "edgetune_tests_remember"


def remember() -> None:
    """Change TensorFlow in this process, once; it must have been imported."""
    import tensorflow as tf

    load = tf.saved_model.load
    if hasattr(load, _REMEMBERING):
        return
    shared = functools.cache(load)

    @functools.wraps(load)
    def load_once(export_dir: str, *args: Any, **options: Any) -> Any:
        # Nobody may change what is in this folder; the folders of artifacts are links to it.
        folder = os.path.realpath(export_dir)
        made_once = folder.startswith(f"{os.path.realpath(os.environ.get(session.VARIABLE, os.devnull))}/")
        return shared(folder) if made_once and not args and not options else load(export_dir, *args, **options)

    setattr(load_once, _REMEMBERING, True)
    tf.saved_model.load = load_once
