"""Read the edge signature's shape and the class names of a SavedModel without loading it."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from edgetune.modules.contracts.signatures import EDGE, IMAGE, LABELS_FILE, PROBABILITIES
from edgetune.modules.core.errors import ExportError
from edgetune.modules.images.decode import CHANNELS

SAVED_MODEL_FILE = "saved_model.pb"


def edge_shape(saved_model: str) -> tuple[int, int]:
    """Return image size in pixels and number of classes, from the signature `edge`.

    Raises:
        ExportError: There is no SavedModel, no such signature, or its shapes are not `[1, S, S, 3]` and `[1, C]`.
    """
    path = f"{saved_model}/{SAVED_MODEL_FILE}"
    parsed = saved_model_pb2.SavedModel()
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            parsed.ParseFromString(file.read())
    except tf.errors.NotFoundError:
        raise ExportError(f"{saved_model}: there is no SavedModel", "run the trainer again") from None
    signatures = parsed.meta_graphs[0].signature_def if parsed.meta_graphs else {}
    if EDGE not in signatures:
        found = ", ".join(sorted(name for name in signatures if not name.startswith("__"))) or "none"
        remedy = f"export the model with a signature {EDGE!r}: one image [1, S, S, 3] to probabilities [1, C]"
        raise ExportError(f"{path}: has no signature {EDGE!r} (it has {found})", remedy)
    inputs, outputs = signatures[EDGE].inputs, signatures[EDGE].outputs
    image = [dim.size for dim in inputs[IMAGE].tensor_shape.dim] if IMAGE in inputs else []
    scores = [dim.size for dim in outputs[PROBABILITIES].tensor_shape.dim] if PROBABILITIES in outputs else []
    square = len(image) == 4 and image[1] == image[2] > 0 and (image[0], image[3]) == (1, CHANNELS)
    if not square or len(scores) != 2 or scores[1] < 1:
        raise ExportError(
            f"{path}: signature {EDGE!r} takes {IMAGE} {image} and gives {PROBABILITIES} {scores}",
            "export the signature with fixed shapes: [1, S, S, 3] and [1, C]",
        )
    return image[1], scores[1]


def read_labels(saved_model: str) -> list[str]:
    """Return the class names in the order of the model's outputs, from the vocabulary inside a SavedModel."""
    with tf.io.gfile.GFile(f"{saved_model}/assets/{LABELS_FILE}") as file:
        return file.read().splitlines()
