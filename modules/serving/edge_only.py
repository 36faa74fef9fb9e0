"""Write a SavedModel with the `edge` signature alone, for a network that is only converted, and not served."""

from __future__ import annotations

import keras
import tensorflow as tf

from edgetune.modules.contracts.signatures import EDGE, IMAGE, PROBABILITIES


def export_edge(model: keras.Model, path: str) -> None:
    """Write what `modules.conversion.convert` reads.

    Args:
        model: Maps images float32 `[N, S, S, 3]` in 0..255 to probabilities float32 `[N, C]`.
        path: Folder to write.
    """
    root = tf.Module()
    root.variables_of_model = [variable.value for variable in model.variables]
    # A batch of exactly one: converters and phone accelerators need fixed dimensions.
    image = tf.TensorSpec([1, *model.input_shape[1:]], tf.float32, name=IMAGE)
    edge = tf.function(lambda image: {PROBABILITIES: model(image, training=False)}, [image], autograph=False)
    tf.autograph.experimental.do_not_convert(tf.saved_model.save)(root, path, signatures={EDGE: edge})
