"""Export the SavedModel: one network, Transform's graph, and the signatures of `modules.contracts.signatures`."""

from __future__ import annotations

import keras
import tensorflow as tf
import tensorflow_transform as tft

from edgetune.modules.contracts import example_features
from edgetune.modules.contracts import signatures as names
from edgetune.modules.core.errors import ExportError
from edgetune.modules.images import decode
from edgetune.modules.serving import saved_model as saved_model_reader

# Features of a raw example, in the signatures that take one.
_ENCODED = {example_features.IMAGE: tf.io.FixedLenFeature([], tf.string)}
_LABELLED = {**_ENCODED, example_features.LABEL: tf.io.FixedLenFeature([], tf.string)}


def export_saved_model(model: keras.Model, transform: tft.TFTransformOutput, image_size: int, path: str) -> None:
    """Write `model` as a SavedModel with all signatures, Transform's graph and its vocabulary.

    Args:
        model: Maps images float32 `[N, S, S, 3]` in 0..255 to probabilities float32 `[N, C]`.
        transform: Output of Transform; its vocabulary has C names.
        image_size: S, in pixels.
        path: Folder to write; must not exist.

    Raises:
        ExportError: The vocabulary has another number of classes, or is missing from the written SavedModel.
    """
    classes = transform_labels(transform)
    if len(classes) != model.output_shape[-1]:
        raise ExportError(
            f"the model has {model.output_shape[-1]} outputs, but Transform's labels.txt has {len(classes)} classes",
            "run the pipeline again with --no-cache",
        )
    layer = transform.transform_features_layer()
    labels = tf.constant(classes)

    def predict(pixels: tf.Tensor) -> tf.Tensor:
        return model(tf.cast(pixels, tf.float32), training=False)

    # Traced once for the signatures that take any number of images.
    many_pixels = tf.TensorSpec([None, image_size, image_size, decode.CHANNELS], tf.uint8)
    predict_many = tf.function(predict, [many_pixels], autograph=False)

    def transformed_features(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        unknown = tf.zeros(tf.shape(features[example_features.IMAGE]), tf.int64)  # nobody has looked at what is sent
        return layer({**features, example_features.PLAIN: unknown})

    def of_bytes(image_bytes: tf.Tensor) -> tf.Tensor:
        transformed = transformed_features({example_features.IMAGE: image_bytes})
        return predict_many(decode.from_raw(transformed[example_features.IMAGE], image_size))

    def serving_default(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = of_bytes(_not_too_many(image_bytes))
        best = tf.argmax(probabilities, axis=-1)
        return {
            names.PROBABILITIES: probabilities,
            names.LABEL: tf.gather(labels, best),
            names.SCORE: tf.reduce_max(probabilities, axis=-1),
        }

    def serving_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(_not_too_many(examples), _ENCODED)
        return {names.PROBABILITIES: of_bytes(parsed[example_features.IMAGE])}

    def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return transformed_features(tf.io.parse_example(_not_too_many(examples), _LABELLED))

    def edge(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {names.PROBABILITIES: predict(image)}

    # A batch of exactly one: converters and phone accelerators need fixed dimensions.
    one_image = tf.TensorSpec([1, image_size, image_size, decode.CHANNELS], tf.float32, name=names.IMAGE)
    many_bytes = tf.TensorSpec([None], tf.string, name=names.IMAGE_BYTES)
    many_examples = tf.TensorSpec([None], tf.string, name=names.SERIALIZED)
    functions = {
        name: tf.function(function, [takes], autograph=False)
        for name, function, takes in (
            (names.SERVING, serving_default, many_bytes),
            (names.EXAMPLES, serving_examples, many_examples),
            (names.TRANSFORM, transform_features, many_examples),
            (names.EDGE, edge, one_image),
        )
    }
    # Save the variables and Transform's graph, not the Keras model: a saved Keras 3 model cannot be converted, nor be
    # loaded everywhere. Keras's ExportArchive does the same, but cannot keep the lookup table of the labels.
    root = tf.Module()
    root.variables_of_model = [variable.value for variable in model.variables]
    # Save what the layer calls, not the layer: it is a Keras model too, and takes longer to save than all the rest.
    root.transform = layer._saved_model_loader_tracked_dict
    # No Python branch here depends on a tensor, so spare AutoGraph rewriting the code of Keras and TFT.
    tf.autograph.experimental.do_not_convert(tf.saved_model.save)(root, path, signatures=functions)
    if saved_model_reader.read_labels(path) != classes:
        raise ExportError(
            f"{path}/assets/{names.LABELS_FILE} differs from Transform's vocabulary", "report this as a bug in edgetune"
        )


def _not_too_many(batch: tf.Tensor) -> tf.Tensor:
    fault = f"the request has more than {names.MOST_IMAGES} images: send fewer at a time"
    with tf.control_dependencies([tf.debugging.Assert(tf.size(batch) <= names.MOST_IMAGES, [fault])]):
        return tf.identity(batch)


def transform_labels(transform: tft.TFTransformOutput) -> list[str]:
    """Return the class names in the order of `label_index`, from the vocabulary that Transform wrote."""
    return saved_model_reader.read_labels(transform.transform_savedmodel_dir)
