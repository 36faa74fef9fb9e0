"""Files of images, or records that hold images, to raw examples; and what could not be read, with the reason."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
import tensorflow as tf
from apache_beam.io import tfrecordio

from modules import listing, progress, records
from modules.image_files import Unusable, read_image
from modules.manifests import read_manifest
from modules.safe_read import Unreadable, most_bytes, read_file
from modules.sources import ALL, SPLIT_OF

ACCEPTED, REJECTED = "accepted", "rejected"
_REPORT_EVERY = 100

# Of this process: a runner of many processes counts in each, and nobody listens there.
_seen = itertools.count(1)


@dataclass(frozen=True)
class Reading:
    """How images are read; `modules.settings.DataSettings` says what each means."""

    max_pixels: int
    max_side: int | None = None
    background: str = "#ffffff"


class ReadFolders(beam.PTransform):
    """Patterns `.../*/*` of a folder of class folders to examples, labelled by the folder that a file is in."""

    def __init__(self, base: str, reading: Reading) -> None:
        super().__init__()
        self._base, self._reading = base, reading

    def expand(self, input_or_inputs: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        return (
            input_or_inputs
            | "Folders" >> beam.FlatMap(_class_folders)
            | "SpreadFolders" >> beam.Reshuffle()
            | "Files" >> beam.FlatMap(_labelled_files)
            # A folder is one element: without this, one worker would read all its files.
            | "Spread" >> beam.Reshuffle()
            | "Decode" >> beam.ParDo(_ReadFile(self._base, self._reading)).with_outputs(ACCEPTED, REJECTED)
        )


class ReadManifest(beam.PTransform):
    """Patterns `<list>#<split>` to examples of the images that the list has for the split."""

    def __init__(self, base: str, reading: Reading) -> None:
        super().__init__()
        self._base, self._reading = base, reading

    def expand(self, input_or_inputs: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        return (
            input_or_inputs
            | "Lines" >> beam.FlatMap(_listed_files, self._base)
            | "Spread" >> beam.Reshuffle()
            | "Decode" >> beam.ParDo(_ReadFile(self._base, self._reading)).with_outputs(ACCEPTED, REJECTED)
        )


class ReadRecords(beam.PTransform):
    """Glob patterns of TFRecord files, plain or compressed, to examples, with image and label from given features."""

    def __init__(self, base: str, reading: Reading, image_feature: str, label_feature: str) -> None:
        super().__init__()
        self._record = _ReadRecord(base, reading, image_feature, label_feature)

    def expand(self, input_or_inputs: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        return (
            input_or_inputs
            | "Records" >> tfrecordio.ReadAllFromTFRecord(with_filename=True)
            | "Spread" >> beam.Reshuffle()
            | "Decode" >> beam.ParDo(self._record).with_outputs(ACCEPTED, REJECTED)
        )


# Names of files are any bytes but zero and slash, and go from worker to worker as such: Beam's coder for text is UTF-8.


def _class_folders(pattern: str) -> Iterator[tuple[bytes, bool]]:
    """Paths, and whether each is the folder of a class or an image without one."""
    folder = pattern.removesuffix("/*/*")
    yield from ((os.fsencode(path), True) for path in listing.class_folders(folder))
    yield from ((os.fsencode(path), False) for path in listing.without_class(folder))


def _labelled_files(element: tuple[bytes, bool]) -> Iterator[tuple[bytes, bytes | None]]:
    """Paths and labels; None for none."""
    path, is_class = element
    if not is_class:
        yield path, None
        return
    label = path.rpartition(b"/")[2]
    yield from ((os.fsencode(file), label) for file in listing.entries(os.fsdecode(path)))


def _listed_files(pattern: str, base: str) -> Iterator[tuple[bytes, bytes | None]]:
    manifest, _, split = pattern.rpartition("#")
    for entry in read_manifest(manifest, SPLIT_OF):
        if (entry.split or ALL) == split:
            yield os.fsencode(f"{base}/{entry.path}"), os.fsencode(entry.label)


class _ReadFile(beam.DoFn):
    def __init__(self, base: str, reading: Reading) -> None:
        super().__init__()
        self._base, self._reading = base, reading

    def process(self, element: tuple[bytes, bytes | None]) -> Iterator[beam.pvalue.TaggedOutput]:
        path, label = os.fsdecode(element[0]), element[1]
        source = path.removeprefix(self._base).lstrip("/")
        if label is None:
            yield _rejected(source, "beside the folders of classes, so it has no label")
            return
        name = os.fsdecode(label)
        try:
            content = read_file(path, self._base, most_bytes(self._reading.max_pixels))
        except Unreadable as error:
            yield _rejected(source, str(error), name)
            return
        yield _example(content, name, source, self._reading)


class _ReadRecord(beam.DoFn):
    def __init__(self, base: str, reading: Reading, image_feature: str, label_feature: str) -> None:
        super().__init__()
        self._base, self._reading = base, reading
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
        yield _example(content, name, source, self._reading)


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


def _rejected(source: str, reason: str, label: str = "") -> beam.pvalue.TaggedOutput:
    row = {"path": _as_text(source), "reason": " ".join(reason.split()), "label": _as_text(label)}
    return beam.pvalue.TaggedOutput(REJECTED, row)


def _as_text(label: str) -> str:
    """What a name of a folder that is not UTF-8 looks like in all that is printed."""
    return label.encode("utf-8", "backslashreplace").decode()


def _example(content: bytes, label: str, source: str, reading: Reading) -> beam.pvalue.TaggedOutput:
    if (number := next(_seen)) % _REPORT_EVERY == 0:
        progress.report(f"{number} images read")
    try:
        image = read_image(content, reading.max_pixels, reading.max_side, reading.background)
    except Unusable as error:
        return _rejected(source, str(error), label)
    texts = {
        records.LABEL: _as_text(label).encode(),
        records.SOURCE: source.encode("utf-8", "surrogateescape"),
        records.IMAGE: image.encoded,
        records.IMAGE_ID: image.digest.encode(),
        records.SIGNATURE: image.look.signature,
    }
    features = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text])) for key, text in texts.items()}
    sizes = {records.WIDTH: image.width, records.HEIGHT: image.height, records.BYTES: len(image.encoded)}
    for key, number in sizes.items():
        features[key] = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
    channels = zip((records.RED, records.GREEN, records.BLUE), image.look.means, strict=True)
    for key, mean in ((records.ASPECT, image.width / image.height), *channels):
        features[key] = tf.train.Feature(float_list=tf.train.FloatList(value=[mean]))
    return beam.pvalue.TaggedOutput(ACCEPTED, tf.train.Example(features=tf.train.Features(feature=features)))
