"""Read and resize encoded images to the model's input.

Transform, the serving signatures and `edgetune predict` call it, so that they read images in the same way. It returns
plain RGB; an architecture's normalisation is a layer inside the model.
"""

from __future__ import annotations

import tensorflow as tf

from edgetune.modules.images import graph_read
from edgetune.modules.images.reading import Reading

CHANNELS = graph_read.CHANNELS
_DAMAGED = f"{graph_read.DAMAGED}, or needs more memory than there is"
# Each holds one image in memory; more are hardly faster on servers, which answer several requests at a time.
_AT_A_TIME = 2


def decode(
    encoded: tf.Tensor,
    image_size: int,
    reading: Reading = Reading(),  # noqa: B008 - frozen
    is_plain: tf.Tensor | None = None,
) -> tf.Tensor:
    """Read one image and resize it to the model's input.

    The image is stretched to a square, as the usual phone clients do by default. Antialiasing keeps large photographs
    free of aliasing when they are scaled down.

    Args:
        encoded: string scalar: a JPEG or PNG that `graph_read.read` accepts.
        image_size: Height and width of the result, in pixels.
        reading: Options.
        is_plain: bool scalar: whether ingest has stored it as plain (`graph_read.read_stored`); None if it has not.

    Returns:
        uint8 `[image_size, image_size, 3]`, RGB in 0..255.

    Raises:
        tf.errors.InvalidArgumentError: On execution: the image is refused, or its data is damaged or cut off.
        tf.errors.DataLossError: On execution: the packed color profile of a PNG is damaged.
    """
    fault, pixels = _read(encoded, reading, is_plain)
    checked = tf.debugging.Assert(fault == "", [tf.strings.join(["the image ", fault])])
    with tf.control_dependencies([checked] if checked is not None else []):
        return _square(tf.identity(pixels), image_size)


def decode_to_raw(
    encoded: tf.Tensor,
    image_size: int,
    reading: Reading = Reading(),  # noqa: B008 - frozen
    are_plain: tf.Tensor | None = None,
) -> tf.Tensor:
    """Apply `decode` to a string vector `[N]`, with the pixels of only a few images in memory at a time.

    Args:
        encoded: The images.
        image_size: As of `decode`.
        reading: Options.
        are_plain: bool `[N]`, as `is_plain` of `decode`, or None.

    Returns:
        String `[N]`: for each image its `image_size * image_size * 3` bytes in the order of uint8 `[S, S, 3]`.

    Raises:
        tf.errors.InvalidArgumentError: On execution: an image is refused or damaged. The message has its place.
    """

    def read(place: tf.Tensor, content: tf.Tensor, *is_plain: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        fault, pixels = _read(content, reading, *is_plain)
        raw = tf.cond(fault == "", lambda: _raw(_square(pixels, image_size)), lambda: tf.constant(""))
        return place, fault, raw

    # An operation that fails does not know the place of its image; a dataset leaves the image out, and goes on.
    count = tf.size(encoded, tf.int64)
    known = () if are_plain is None else (are_plain,)
    images = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded, *known))
    read = tf.autograph.experimental.do_not_convert(read)
    images = images.map(read, num_parallel_calls=_AT_A_TIME, deterministic=True).ignore_errors()
    nothing = tf.data.Dataset.from_tensors((count, tf.constant(""), tf.constant("")))  # a batch cannot be empty
    options = tf.data.Options()
    options.autotune.enabled = False  # it would start a thread for each request
    places, faults, raw = images.concatenate(nothing).batch(count + 1).with_options(options).get_single_element()
    found = tf.tensor_scatter_nd_update(tf.fill([count], tf.constant(_DAMAGED)), places[:-1, tf.newaxis], faults[:-1])
    bad = tf.where(found != "")[:, 0]
    worst = tf.concat([bad, [0]], axis=0)[0]
    text = tf.concat([found, [""]], axis=0)[worst]
    message = tf.strings.join(
        ["image ", tf.strings.as_string(worst + 1), " of ", tf.strings.as_string(count), " ", text]
    )
    checked = tf.debugging.Assert(tf.size(bad) == 0, [message])
    with tf.control_dependencies([checked] if checked is not None else []):
        return tf.identity(raw[:-1])


def _read(content: tf.Tensor, reading: Reading, is_plain: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    if is_plain is None:
        return graph_read.read(content, reading)
    return graph_read.read_stored(content, is_plain, reading)


def _square(pixels: tf.Tensor, image_size: int) -> tf.Tensor:
    image = graph_read.resized(pixels, tf.constant([image_size, image_size]))
    return tf.ensure_shape(image, [image_size, image_size, CHANNELS])


def _raw(image: tf.Tensor) -> tf.Tensor:
    # TensorFlow has no operation for this, but a serialized uint8 tensor ends with its content.
    length = tf.size(image)
    return tf.strings.substr(tf.io.serialize_tensor(image), -length, length)


def from_raw(raw: tf.Tensor, image_size: int) -> tf.Tensor:
    """Convert the output of `decode_to_raw` to pixels: string `[...]` to uint8 `[..., image_size, image_size, 3]`."""
    shape = tf.concat([tf.shape(raw), [image_size, image_size, CHANNELS]], axis=0)
    return tf.reshape(tf.io.decode_raw(raw, tf.uint8), shape)
