"""The ground floor: the machine learning, with no orchestration.

Nothing here imports `components` or `pipeline`, and nothing here knows TFX's orchestration. The folder stays
flat, because TFX packages a module file with only the `*.py` files beside it.
"""

import os

# TensorFlow would take all memory of a GPU in every process that looks at it, Beam's workers included, and read this
# when it first does.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
