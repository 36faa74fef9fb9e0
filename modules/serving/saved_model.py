"""Read the edge signature's shape, the class names and the weights of a SavedModel without loading it."""

from __future__ import annotations

import hashlib
import json

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from edgetune.modules.contracts.signatures import EDGE, IMAGE, LABELS_FILE, PROBABILITIES
from edgetune.modules.core.errors import ExportError
from edgetune.modules.images.decode import CHANNELS
from edgetune.modules.storage import filesystem

SAVED_MODEL_FILE = "saved_model.pb"
# TensorFlow's description of the objects that hold the variables; names in it have counters of the process.
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


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


def weights_sha256(saved_model: str) -> str:
    """Return the SHA-256 of name, type, shape and values of all variables, and of the assets: 64 hexadecimal digits.

    It is equal for equal trainings. The digest of all files is not: TensorFlow numbers the functions in
    `saved_model.pb` and the objects in `variables/` by counters of the process that writes them. The graph itself,
    which says how images are read, does not count.

    Raises:
        OSError: An asset cannot be read.
        tensorflow.errors.OpError: The variables cannot be read.
    """
    total = hashlib.sha256()
    reader = tf.train.load_checkpoint(f"{saved_model}/variables/variables")
    for name in sorted(set(reader.get_variable_to_shape_map()) - {_OBJECT_GRAPH}):
        values = reader.get_tensor(name)
        content = repr(values.tolist()).encode() if values.dtype == object else values.tobytes()
        _add(total, [name, values.dtype.name, *values.shape], content)
    for name in filesystem.files_of(f"{saved_model}/assets"):
        _add(total, [f"assets/{name}"], filesystem.read(f"{saved_model}/assets/{name}"))
    return total.hexdigest()


def _add(total: hashlib._Hash, what: list[str | int], content: bytes) -> None:
    """Add one item so that no two different sequences of items are the same bytes."""
    total.update(json.dumps([*what, len(content)]).encode() + b"\n" + content)
