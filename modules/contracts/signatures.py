"""Names in the SavedModel: signatures, their inputs and outputs, and the labels file.

    serving_default      image_bytes string [N]            -> probabilities, label string [N], score float32 [N]
    serving_examples     examples string [N], tf.Example   -> probabilities
    transform_features   examples string [N], tf.Example   -> image string [N], label_index int64 [N]
    edge                 image float32 [1, S, S, 3] 0..255 -> probabilities

`probabilities` is float32 `[N, C]`, with the classes in the order of `assets/labels.txt`. The tf.Examples are raw
examples of `modules.contracts.example_features`; the label may be missing except for `transform_features`.
"""

from __future__ import annotations

SERVING = "serving_default"
EXAMPLES = "serving_examples"
TRANSFORM = "transform_features"
EDGE = "edge"

IMAGE_BYTES, SERIALIZED, IMAGE = "image_bytes", "examples", "image"
PROBABILITIES, LABEL, SCORE = "probabilities", "label", "score"

LABELS_FILE = "labels.txt"
