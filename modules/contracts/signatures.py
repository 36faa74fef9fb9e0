"""Names in the SavedModel: signatures, their inputs and outputs, and the labels file.

    serving_default      image_bytes string [N]            -> probabilities, label string [N], score float32 [N]
    serving_examples     examples string [N], tf.Example   -> probabilities
    transform_features   examples string [N], tf.Example   -> image string [N], label_index int64 [N]
    edge                 image float32 [1, S, S, 3] 0..255 -> probabilities

`probabilities` is float32 `[N, C]`, with the classes in the order of `assets/labels.txt`. The tf.Examples are raw
examples of `modules.contracts.example_features`; the label may be missing except for `transform_features`. N is at most
`MOST_IMAGES`.
"""

from __future__ import annotations

SERVING = "serving_default"
EXAMPLES = "serving_examples"
TRANSFORM = "transform_features"
EDGE = "edge"

IMAGE_BYTES, SERIALIZED, IMAGE = "image_bytes", "examples", "image"
PROBABILITIES, LABEL, SCORE = "probabilities", "label", "score"

MOST_IMAGES = 256
"""Images in a request. The network computes them together: 256 of 224 px take 150 MB as float32, and several times that
inside a network, while a request of 1 MB can hold 10,000 tiny images."""

LABELS_FILE = "labels.txt"
