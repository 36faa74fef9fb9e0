"""One image, or one record that holds an image, to a raw example; or to the reason why it is none."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf
from apache_beam.pvalue import TaggedOutput

from edgetune.modules.contracts import example_features
from edgetune.modules.images.reader import Unusable, read_image

ACCEPTED, REJECTED = "accepted", "rejected"


@dataclass(frozen=True)
class ReadOptions:
    """How images are read; `modules.settings.run.DataSettings` says what each means."""

    max_pixels: int
    max_side: int | None = None
    background: str = "#ffffff"


@dataclass(frozen=True)
class RecordFeatures:
    """Where image and label are in a tf.Example of anyone's."""

    image: str
    label: str
    classes: tuple[str, ...] = ()
    """Names of labels that are numbers; none where the numbers are the names."""


@dataclass(frozen=True, slots=True)
class Read:
    """An image that was read."""

    example: bytes
    """Serialized tf.Example with the features of a raw example (`modules.examples.records`) but `split_group`."""
    image_id: str
    source: str
    label: str
    signature: bytes
    """What the search for near-duplicates compares; no example has it."""


def of_image(content: bytes, label: str, source: str, reading: ReadOptions) -> TaggedOutput:
    """The bytes of a file to a `Read`, or to what `rejected` gives."""
    try:
        image = read_image(content, reading.max_pixels, reading.max_side, reading.background)
    except Unusable as error:
        return rejected(source, str(error), label)
    name = _as_text(label)
    texts = {
        example_features.LABEL: name.encode(),
        example_features.SOURCE: source.encode("utf-8", "surrogateescape"),
        example_features.IMAGE: image.encoded,
        example_features.IMAGE_ID: image.digest.encode(),
    }
    features = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text])) for key, text in texts.items()}
    sizes = {
        example_features.WIDTH: image.width,
        example_features.HEIGHT: image.height,
        example_features.BYTES: len(image.encoded),
    }
    for key, number in sizes.items():
        features[key] = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
    channels = zip(
        (example_features.RED, example_features.GREEN, example_features.BLUE), image.appearance.means, strict=True
    )
    for key, mean in ((example_features.ASPECT, image.width / image.height), *channels):
        features[key] = tf.train.Feature(float_list=tf.train.FloatList(value=[mean]))
    example = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    return TaggedOutput(ACCEPTED, Read(example, image.digest, source, name, image.appearance.signature))


def of_record(record: bytes, source: str, features: RecordFeatures, reading: ReadOptions) -> TaggedOutput:
    """The same of a record.

    Args:
        record: A serialized tf.Example.
        source: What it is called.
        features: Where image and label are.
        reading: How the image is read.
    """
    try:
        found = tf.train.Example.FromString(record).features.feature
        content, label = (_only(found, name) for name in (features.image, features.label))
    except Unusable as error:
        return rejected(source, str(error))
    except Exception as error:  # noqa: BLE001 - protobuf's own error type differs between its implementations
        return rejected(source, f"not a tf.Example: {error}")
    if not isinstance(content, bytes):
        return rejected(source, f"the feature {features.image} is no bytes (data.image_feature)")
    if isinstance(label, bytes):
        return of_image(content, label.decode("utf-8", "replace"), source, reading)
    if features.classes and not 0 <= label < len(features.classes):
        return rejected(source, f"the label {label} is none of the {len(features.classes)} that have a name")
    return of_image(content, features.classes[label] if features.classes else str(label), source, reading)


def _only(features: dict[str, tf.train.Feature], name: str) -> bytes | int:
    """The one value of a feature of bytes or integers."""
    feature = features[name] if name in features else tf.train.Feature()
    values = [*feature.bytes_list.value, *feature.int64_list.value]
    if len(values) != 1:
        raise Unusable(
            f"the feature {name} has {len(values)} values of bytes or integers, and one is needed "
            f"(data.image_feature, data.label_feature; the record has {', '.join(sorted(features)) or 'no features'})"
        )
    return values[0]


def rejected(source: str, reason: str, label: str = "", damaged: bool = False) -> TaggedOutput:
    """A row of what was not taken.

    Args:
        source: Path of the file, or name of the record.
        reason: In a few words.
        label: Class, where it is known.
        damaged: Whether it is a file of records that cannot be read to its end.
    """
    row = {"path": _as_text(source), "reason": " ".join(reason.split()), "label": _as_text(label), "damaged": damaged}
    return TaggedOutput(REJECTED, row)


def _as_text(label: str) -> str:
    """What a name of a folder that is not UTF-8 looks like in all that is printed."""
    return label.encode("utf-8", "backslashreplace").decode()
