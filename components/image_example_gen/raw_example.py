"""Turn an image, or a record that holds an image, into a raw example, or into the reason for rejecting it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import tensorflow as tf
from apache_beam.pvalue import TaggedOutput

from edgetune.modules.contracts import example_features
from edgetune.modules.data.columns import is_pattern
from edgetune.modules.images.reader import ReadImage, Unusable, read_image
from edgetune.modules.images.reading import Reading

ACCEPTED, REJECTED = "accepted", "rejected"


@dataclass(frozen=True)
class RecordFeatures:
    """Names of the features with image and label in a user's tf.Examples."""

    image: str
    label: str
    classes: tuple[str, ...] = ()
    """Class names of numeric labels; empty if the numbers themselves are the names."""
    group: str = ""
    """`data.group`: name of a feature or, if the record has none, an expression; empty if it is not set."""


@dataclass(frozen=True, slots=True)
class RawExample:
    """An accepted image as a raw example."""

    example: bytes
    """Serialized tf.Example with all features of a raw example (`modules.examples.records`) except `split_group`."""
    image_id: str
    source: str
    label: str
    signature: bytes
    """Perceptual hash for finding near-duplicates; not part of the example."""
    group: str = ""
    """Of images that no split may separate (`data.group`); not part of the example."""


def from_image(content: bytes, label: str, source: str, options: Reading) -> TaggedOutput:
    """Turn the bytes of an image file into an accepted `RawExample` or a rejected row."""
    try:
        image = read_image(content, options)
    except Unusable as error:
        return rejected(source, str(error), label)
    return accepted(image, label, source)


def accepted(image: ReadImage, label: str, source: str) -> TaggedOutput:
    """Return the `RawExample` of an image."""
    name = _as_text(label)
    example = tf.train.Example()
    feature = example.features.feature
    for key, text in (
        (example_features.LABEL, name.encode()),
        (example_features.SOURCE, source.encode("utf-8", "surrogateescape")),
        (example_features.IMAGE, image.encoded),
        (example_features.IMAGE_ID, image.digest.encode()),
    ):
        feature[key].bytes_list.value.append(text)
    for key, number in (
        (example_features.PLAIN, int(image.is_plain)),
        (example_features.WIDTH, image.width),
        (example_features.HEIGHT, image.height),
        (example_features.BYTES, len(image.encoded)),
    ):
        feature[key].int64_list.value.append(number)
    red, green, blue = image.appearance.means
    for key, mean in (
        (example_features.ASPECT, image.width / image.height),
        (example_features.RED, red),
        (example_features.GREEN, green),
        (example_features.BLUE, blue),
        *asdict(image.appearance.facts).items(),  # whose names are those of the features
    ):
        feature[key].float_list.value.append(mean)
    row = RawExample(example.SerializeToString(), image.digest, source, name, image.appearance.signature)
    return TaggedOutput(ACCEPTED, row)


def from_record(record: bytes, source: str, features: RecordFeatures, options: Reading) -> TaggedOutput:
    """Turn a record into an accepted `RawExample` or a rejected row.

    Args:
        record: A serialized tf.Example.
        source: Name of the record in reports.
        features: Names of the features with image and label.
        options: Options for reading the image.
    """
    try:
        content, label = image_and_label(record, features)
        group = group_of(record, features.group) if features.group else ""
    except Unusable as error:
        return rejected(source, str(error))
    made = from_image(content, label, source, options)
    return TaggedOutput(ACCEPTED, replace(made.value, group=group)) if made.tag == ACCEPTED else made


def group_of(record: bytes, name: str) -> str:
    """Return the value of a record's feature of text or an integer; empty if it has none and the name is an expression.

    Args:
        record: A serialized tf.Example.
        name: `data.group`.

    Raises:
        Unusable: There is no such feature, or it is empty or not UTF-8.
    """
    features = tf.train.Example.FromString(record).features.feature
    if is_pattern(name) and name not in features:
        return ""
    try:
        value = _only(features, name, "data.group")
        text = value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as error:
        raise Unusable(f"the feature {name} is not UTF-8 (data.group)") from error
    if not text.strip():
        raise Unusable(f"the feature {name} is empty (data.group)")
    return text.strip()


def image_and_label(record: bytes, features: RecordFeatures) -> tuple[bytes, str]:
    """Return the encoded image and the class of a record.

    Args:
        record: A serialized tf.Example.
        features: Names of the features with image and label.

    Raises:
        Unusable: It is not a tf.Example, or has no such image and label; a label that is not UTF-8 is refused, because
            replacing its bytes could merge two classes.
    """
    try:
        found = tf.train.Example.FromString(record).features.feature
        content, label = (_only(found, name) for name in (features.image, features.label))
    except Unusable:
        raise
    except Exception as error:  # protobuf's own error type differs between its implementations
        raise Unusable(f"not a tf.Example: {error}") from error
    if not isinstance(content, bytes):
        raise Unusable(f"the feature {features.image} does not hold bytes (data.image_feature)")
    if isinstance(label, bytes):
        try:
            return content, label.decode()
        except UnicodeDecodeError as error:
            raise Unusable(f"the label {label!r} is not UTF-8: write the records again with it in UTF-8") from error
    if features.classes and not 0 <= label < len(features.classes):
        raise Unusable(f"the label {label} is not one of the {len(features.classes)} that have a name")
    return content, features.classes[label] if features.classes else str(label)


def _only(
    features: dict[str, tf.train.Feature], name: str, keys: str = "data.image_feature, data.label_feature"
) -> bytes | int:
    """Return the single value of a feature of bytes or integers; `keys` are the settings that name it."""
    feature = features[name] if name in features else tf.train.Feature()
    values = [*feature.bytes_list.value, *feature.int64_list.value]
    if len(values) != 1:
        raise Unusable(
            f"the feature {name} has {len(values)} values of bytes or integers instead of one "
            f"({keys}; the record has {', '.join(sorted(features)) or 'no features'})"
        )
    return values[0]


def rejected(source: str, reason: str, label: str = "", damaged: bool = False) -> TaggedOutput:
    """Return a row about a file or record that was not accepted.

    Args:
        source: Path of the file, or name of the record.
        reason: A few words.
        label: Class, if it is known.
        damaged: Whether it is a TFRecord file that cannot be read to its end.
    """
    row = {"path": _as_text(source), "reason": " ".join(reason.split()), "label": _as_text(label), "damaged": damaged}
    return TaggedOutput(REJECTED, row)


def _as_text(label: str) -> str:
    """Return a folder name as printable text, with non-UTF-8 bytes as escapes."""
    return label.encode("utf-8", "backslashreplace").decode()
