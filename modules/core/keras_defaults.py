"""Keras's global state as edgetune needs it, whatever `KERAS_BACKEND`, `keras.json` or a notebook set before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from edgetune.modules.core.errors import ConfigError

BACKEND = "tensorflow"
_policy = "float32"


@contextlib.contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """Build networks with another dtype policy, such as `mixed_bfloat16`, whose variables are float32."""
    global _policy
    import keras

    before, _policy = _policy, policy
    try:
        yield
    finally:
        _policy = before
        keras.mixed_precision.set_global_policy(before)


def set_keras_defaults() -> None:
    """Set image data format, float types and epsilon to Keras's own defaults, and the dtype policy to `computing_in`'s.

    `keras.json` in the user's home can change each of them: `floatx` float16 would silently train in half precision,
    and `channels_first` cannot run on a CPU. Importing `edgetune.modules` before Keras selects the backend.

    Raises:
        ConfigError: Keras already runs on another backend in this process.
    """
    import keras

    if keras.config.backend() != BACKEND:
        raise ConfigError(
            f"Keras runs on {keras.config.backend()} in this process, and edgetune needs {BACKEND}",
            f"import edgetune.modules before keras, or set KERAS_BACKEND={BACKEND}",
        )
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.mixed_precision.set_global_policy(_policy)
