"""Files of images, or records that hold images, to raw examples; and what could not be read, with the reason."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

import apache_beam as beam
import tensorflow as tf
from apache_beam.io import fileio, tfrecordio

from modules import progress, records
from modules.image_files import Unusable, read_image
from modules.sources import ignored

ACCEPTED, REJECTED = "accepted", "rejected"
_REPORT_EVERY = 100

# Of this process: a runner of many processes counts in each, and nobody listens there.
_seen = itertools.count(1)


class ReadFiles(beam.PTransform):
    """Glob patterns of `<base>/.../<class>/<file>` to examples, labelled by the folder that a file is in."""

    def __init__(self, base: str, max_pixels: int) -> None:
        super().__init__()
        self._base, self._max_pixels = base, max_pixels

    def expand(self, input_or_inputs: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        return (
            input_or_inputs
            | "Match" >> fileio.MatchAll()
            | "Path" >> beam.Map(lambda found: found.path)
            # A pattern is one element: without this, one worker would read all files.
            | "Spread" >> beam.Reshuffle()
            | "Decode" >> beam.ParDo(_ReadFile(self._base, self._max_pixels)).with_outputs(ACCEPTED, REJECTED)
        )


class ReadRecords(beam.PTransform):
    """Glob patterns of TFRecord files, plain or compressed, to examples, with image and label from given features."""

    def __init__(self, base: str, max_pixels: int, image_feature: str, label_feature: str) -> None:
        super().__init__()
        self._record = _ReadRecord(base, max_pixels, image_feature, label_feature)

    def expand(self, input_or_inputs: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        return (
            input_or_inputs
            | "Records" >> tfrecordio.ReadAllFromTFRecord(with_filename=True)
            | "Spread" >> beam.Reshuffle()
            | "Decode" >> beam.ParDo(self._record).with_outputs(ACCEPTED, REJECTED)
        )


class _ReadFile(beam.DoFn):
    def __init__(self, base: str, max_pixels: int) -> None:
        super().__init__()
        self._base, self._max_pixels = base, max_pixels

    def process(self, element: str) -> Iterator[beam.pvalue.TaggedOutput]:
        *_, folder, name = element.split("/")
        if ignored(folder) or ignored(name):
            return
        source = element.removeprefix(self._base).lstrip("/")
        try:
            with tf.io.gfile.GFile(element, "rb") as file:
                content = file.read()
        except tf.errors.OpError as error:
            yield _rejected(source, f"cannot be read: {error.message}")
            return
        yield _example(content, folder, source, self._max_pixels)


class _ReadRecord(beam.DoFn):
    def __init__(self, base: str, max_pixels: int, image_feature: str, label_feature: str) -> None:
        super().__init__()
        self._base, self._max_pixels = base, max_pixels
        self._image_feature, self._label_feature = image_feature, label_feature

    def process(self, element: tuple[str, bytes]) -> Iterator[beam.pvalue.TaggedOutput]:
        path, record = element
        file = path.removeprefix(self._base).lstrip("/")
        # A record has no number that a parallel reader could know; its own digest finds it again.
        source = f"{file}#{hashlib.sha256(record).hexdigest()[:16]}"
        try:
            features = tf.train.Example.FromString(record).features.feature
            content, label = _only(features, self._image_feature), _only(features, self._label_feature)
        except Unusable as error:
            yield _rejected(source, str(error))
            return
        except Exception as error:  # noqa: BLE001 - protobuf's own error type differs between its implementations
            yield _rejected(source, f"not a tf.Example: {error}")
            return
        if not isinstance(content, bytes):
            yield _rejected(source, f"the feature {self._image_feature} is no bytes (data.image_feature)")
            return
        name = label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label)
        yield _example(content, name, source, self._max_pixels)


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


def _rejected(source: str, reason: str) -> beam.pvalue.TaggedOutput:
    return beam.pvalue.TaggedOutput(REJECTED, {"path": source, "reason": " ".join(reason.split())})


def _example(content: bytes, label: str, source: str, max_pixels: int) -> beam.pvalue.TaggedOutput:
    if (number := next(_seen)) % _REPORT_EVERY == 0:
        progress.report(f"{number} images read")
    try:
        image = read_image(content, max_pixels)
    except Unusable as error:
        return _rejected(source, str(error))
    texts = {
        records.LABEL: label.encode("utf-8", "backslashreplace"),
        records.SOURCE: source.encode("utf-8", "surrogateescape"),
        records.IMAGE: image.encoded,
        records.IMAGE_ID: image.digest.encode(),
        # Until near-duplicates are found, a group is all images of equal pixels.
        records.SPLIT_GROUP: image.digest.encode(),
    }
    features = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text])) for key, text in texts.items()}
    for key, number in ((records.WIDTH, image.width), (records.HEIGHT, image.height)):
        features[key] = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
    return beam.pvalue.TaggedOutput(ACCEPTED, tf.train.Example(features=tf.train.Features(feature=features)))
