"""What can be read of a SavedModel without loading it: the edge signature's shape, and a digest of its files."""

from __future__ import annotations

import hashlib

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from edgetune.modules.core.errors import ExportError
from edgetune.modules.images.decode import CHANNELS
from edgetune.modules.contracts.signatures import EDGE, IMAGE, PROBABILITIES

SAVED_MODEL_FILE = "saved_model.pb"
# Says when and by which process the model was written, so it differs between two equal models.
_FINGERPRINT_FILE = "fingerprint.pb"


def edge_shape(saved_model: str) -> tuple[int, int]:
    """Image size in pixels and number of classes of the signature `edge`.

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
            "a phone needs fixed shapes: [1, S, S, 3] and [1, C]",
        )
    return image[1], scores[1]


def digest(saved_model: str) -> str:
    """SHA-256 over the SavedModel's relative paths and contents, as 64 hexadecimal digits."""
    total = hashlib.sha256()
    for name in files_of(saved_model):
        if name == _FINGERPRINT_FILE:
            continue
        content = hashlib.sha256()
        with tf.io.gfile.GFile(f"{saved_model}/{name}", "rb") as file:
            while block := file.read(1 << 20):
                content.update(block)
        total.update(name.encode() + b"\0" + content.digest())
    return total.hexdigest()


def files_of(folder: str) -> list[str]:
    """Relative paths of all files below `folder`, which may be a URL; sorted."""
    found = []
    for parent, _, names in tf.io.gfile.walk(folder):
        inside = parent.rstrip("/").removeprefix(folder.rstrip("/")).strip("/")
        found += [f"{inside}/{name}" if inside else name for name in names]
    return sorted(found)
