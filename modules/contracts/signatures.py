"""Names in the SavedModel: signatures, their inputs and outputs, and the file of labels.

    serving_default      image_bytes string [N]            -> probabilities, label string [N], score float32 [N]
    serving_examples     examples string [N], tf.Example   -> probabilities
    transform_features   examples string [N], tf.Example   -> image string [N], label_index int64 [N]
    edge                 image float32 [1, S, S, 3] 0..255 -> probabilities

`probabilities` is float32 `[N, C]`, the classes in the order of `assets/labels.txt`. An example is a raw one of
`modules.examples.records`; its label may be absent except for `transform_features`.
"""

from __future__ import annotations

SERVING = "serving_default"
EXAMPLES = "serving_examples"
TRANSFORM = "transform_features"
EDGE = "edge"

IMAGE_BYTES, SERIALIZED, IMAGE = "image_bytes", "examples", "image"
PROBABILITIES, LABEL, SCORE = "probabilities", "label", "score"

LABELS_FILE = "labels.txt"
