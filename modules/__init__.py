"""The machine learning, with no orchestration: nothing here imports `components` or `pipeline`.

Each folder is a room with one idea. The data takes this way through them: `data` finds the user's images, `images`
decodes them, `examples` holds them inside the pipeline, `models` and `training` make the network, `serving` exports
it, `conversion` makes LiteRT models of it, `evaluation` measures them and `bundle` packs them. `core`, `storage`,
`settings` and `contracts` are below all of these. `tests/repository/test_layout.py` has the table of allowed imports.
"""

import os

# TensorFlow takes all memory of a GPU in every process that uses it, Beam's workers included, unless this is set before
# its first use.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
# Keras reads this when it is imported, and before its keras.json. `core.keras_defaults` sets the rest.
os.environ["KERAS_BACKEND"] = "tensorflow"
