"""Classify image files with a LiteRT model, as a phone would after the pipeline's own preprocessing.

Images are read and resized by the same functions that made the training data, which use TensorFlow. A second
implementation would start faster but differ slightly. The model runs in LiteRT's interpreter, in a process of its own
(`isolated_model`).
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import tensorflow as tf

from edgetune.modules.bundle.files import BundleFiles, checksum_problems, shown
from edgetune.modules.bundle.isolated_model import IsolatedModel
from edgetune.modules.bundle.signing import NO_KEY, Trust
from edgetune.modules.bundle.variants import model_path
from edgetune.modules.contracts.bundle import BUNDLE_JSON, CHECKSUMS, SIGNATURE, InputReading, parse_bundle
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.contracts.thresholds import accepts, thresholds_of
from edgetune.modules.core import bounds
from edgetune.modules.core.errors import BundleError, DataError
from edgetune.modules.core.threads import InOrder
from edgetune.modules.images import reader
from edgetune.modules.images.decode import decode
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import DataSettings
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

Image = str | Path | bytes | bytearray | np.ndarray | PIL.Image.Image
"""A path, the content of an image file, pixels uint8 `[H, W, 3]` in RGB, or an image of Pillow."""
# The defaults of a run's settings.
_MAX_PIXELS = DataSettings.model_fields["max_pixels"].default
_READING = InputReading(
    max_side=DataSettings.model_fields["max_side"].default, background=DataSettings.model_fields["background"].default
)
_READABLE = "give an image file that the pipeline reads, such as JPEG or PNG"
_TOGETHER = 16
"""Images that a thread reads in a call."""
_VERIFY = "run `edgetune verify` on the bundle for details"
_NAMED = 3
"""Differences from `SHA256SUMS` that an error message names."""


@dataclass(frozen=True)
class Prediction:
    """A model's answer for one image."""

    label: str
    """The most probable class."""
    probability: float
    probabilities: dict[str, float]
    """Probabilities by class, the most probable first."""
    accepted: bool | None = None
    """Whether `probability` reaches the threshold; False also if the class has none. None if no threshold was given and
    the bundle has none."""


class Classifier:
    """A model with its class names: `labels` in the order of its outputs, `image_size` in pixels.

    Args:
        path: A `.tflite` file, with its labels inside it or in `labels.txt` beside it.
        reading: How to read images; by default as a run with default settings does.
        thresholds: For each class the probability from which its answers can be accepted, None for a class that has
            none; None if they are not known.
        content: Of the file, if it was read before.

    Raises:
        BundleError: The file cannot be read, is not a LiteRT model, has other inputs or outputs, has no labels, or ends
            the process that runs it.
    """

    def __init__(
        self,
        path: Path,
        reading: InputReading = _READING,
        thresholds: Sequence[float | None] | None = None,
        content: bytes | None = None,
    ) -> None:
        if content is None:
            try:
                content = read_file(str(path), None, bounds.MAX_MODEL, kind="any model")
            except UnreadableFile as error:
                raise BundleError(f"{path}: {error}", "name a .tflite file or a bundle") from None
        self.path, self.thresholds = path, thresholds
        self._reading = Reading(reading.max_pixels or _MAX_PIXELS, reading.max_side, reading.background)
        try:
            self._runner = IsolatedModel(content, _labels_beside(path))
        except BundleError as error:
            raise BundleError(f"{path}: {error.cause}", error.remedy or _VERIFY) from None
        self.labels, self.image_size = self._runner.labels, self._runner.image_size

    def predict(self, images: Image | Sequence[Image], threshold: float | str | None = None) -> list[Prediction]:
        """Classify images, read as the pipeline reads them.

        Args:
            images: One image or several: a path, the content of an image file, pixels uint8 `[H, W, 3]` in RGB,
                or an image of Pillow.
            threshold: The probability from which an answer is accepted, 0..1; "auto" for the threshold that the bundle
                has for each class; None for the same if the bundle has any.

        Raises:
            DataError: One cannot be read, or is not an image that the pipeline would accept.
            ConfigError: The threshold is not one of these.
            BundleError: It is "auto", and the bundle has no thresholds.
        """
        several = [images] if isinstance(images, Image) else images
        thresholds = self.thresholds if threshold is None else self.thresholds_of(threshold)
        predictions = []
        for _, answer in self.answers((_name(image), image) for image in several):
            if isinstance(answer, DataError):
                raise answer
            ranked = self.best(answer, len(self.labels))
            accepted = None if thresholds is None else self.accepts(*ranked[0], thresholds)
            predictions.append(Prediction(*ranked[0], dict(ranked), accepted))
        return predictions

    def thresholds_of(self, threshold: float | str) -> Sequence[float | None]:
        """Return the threshold of each class, in the order of `labels`.

        Args:
            threshold: One for all classes, 0..1, also as a text; or "auto".

        Raises:
            ConfigError: It is neither.
            BundleError: It is "auto", and the bundle has no thresholds.
        """
        return thresholds_of(threshold, self.thresholds, len(self.labels), str(self.path))

    def accepts(self, label: str, probability: float, thresholds: Sequence[float | None]) -> bool:
        """Return whether an answer reaches the threshold of its class; never for a class without one."""
        return accepts(thresholds, self.labels.index(label), probability)

    def classify(self, image: Image) -> np.ndarray:
        """Return the probabilities of one image, float32 `[C]`, in the order of `labels`.

        Args:
            image: As for `predict`.

        Raises:
            DataError: It cannot be read, or is not an image that the pipeline would accept.
            BundleError: The model ends the process that runs it.
        """
        [(_, found)] = self.answers([(_name(image), image)])
        if isinstance(found, DataError):
            raise found
        return found

    def answers(self, images: Iterable[tuple[str, Image | DataError]]) -> Iterator[tuple[str, np.ndarray | DataError]]:
        """Yield the name of each image and its probabilities, as `classify` returns them, or why it has none.

        Images are read in several threads, while the model runs in its process.

        Args:
            images: Name of each, and the image, or why there is none.
        """
        waiting = iter(images)
        reading = InOrder(self._read)
        while several := list(itertools.islice(waiting, _TOGETHER)):
            for read in reading.call(several):
                yield from self._answered(read)
        for read in reading.rest():
            yield from self._answered(read)

    def _read(self, images: Sequence[tuple[str, Image | DataError]]) -> list[tuple[str, np.ndarray | DataError]]:
        """Return the name of each image and its pixels uint8 `[S, S, 3]`, or why it cannot be used."""
        found: list[tuple[str, np.ndarray | DataError]] = []
        for name, image in images:
            if isinstance(image, DataError):
                found.append((name, image))
                continue
            try:
                read = reader.read_image(_content(image, self._reading.max_pixels), self._reading)
                found.append((name, decode(tf.constant(read.encoded), self.image_size, self._reading).numpy()))
            except DataError as error:
                found.append((name, error))
            # Paths with a null byte are a ValueError.
            except (UnreadableFile, reader.Unusable, OSError, ValueError) as error:
                found.append((name, DataError(f"{name}: {error}", _READABLE)))
        return found

    def _answered(
        self, images: Sequence[tuple[str, np.ndarray | DataError]]
    ) -> Iterator[tuple[str, np.ndarray | DataError]]:
        pixels = [image for _, image in images if isinstance(image, np.ndarray)]
        try:
            answers = iter(self._runner.probabilities(np.stack(pixels)) if pixels else ())
        except BundleError as error:
            raise BundleError(f"{self.path}: {error.cause}", error.remedy) from None
        for name, image in images:
            yield name, image if isinstance(image, DataError) else next(answers)

    def best(self, probabilities: np.ndarray, top: int) -> list[tuple[str, float]]:
        """Return the `top` most probable classes with their probabilities, the most probable first."""
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.labels[index], float(probabilities[index])) for index in order]


def open_model(source: Path, variant: str | None = None, trust: Trust = NO_KEY) -> Classifier:
    """Open a model, reading images as its bundle specifies.

    Args:
        source: A bundle's folder, or a `.tflite` file; a file inside a bundle is treated as part of it.
        variant: As for `model_path`.
        trust: Whose signature the bundle must have; by default, a signed bundle is refused.

    Raises:
        BundleError: The model cannot be used, a file of the bundle is missing or altered, or its signature is not the
            one that it must have, or was not checked.
        ConfigError: The public key does not exist, or the signing tool is not installed.
    """
    path = model_path(source, variant)
    # Behind a link, and without one of these files, it is still a part of what was signed.
    behind = path if source.is_dir() else path.resolve()
    is_part = any(os.path.lexists(behind.with_name(name)) for name in (BUNDLE_JSON, CHECKSUMS, SIGNATURE))
    if not source.is_dir() and not is_part:
        if trust.public_key is not None:
            raise BundleError(f"{path}: is not in a bundle, so nothing is signed", "name the folder of a signed bundle")
        return Classifier(path)
    path = behind
    folder = path.parent
    files = BundleFiles(folder)
    if wrong := checksum_problems(files):
        named = "; ".join(f"{shown(file)} {cause}" for file, cause, _ in wrong[:_NAMED])
        more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise BundleError(f"{folder}: {named}{more}", _VERIFY)
    trust.require(folder)
    try:
        bundle = parse_bundle(files.read(BUNDLE_JSON))
    except BundleError as error:
        raise BundleError(f"{folder / BUNDLE_JSON}: {error.cause}", error.remedy) from None
    facts = next((facts for facts in bundle.variants.values() if facts.file == path.name), None)
    content = files.read(path.name, bounds.MAX_MODEL)  # once, so that what was checked is what runs
    if facts is None or facts.sha256 != hashlib.sha256(content).hexdigest():
        raise BundleError(f"{path}: is not the file that was measured according to {BUNDLE_JSON}", _VERIFY)
    thresholds = bundle.calibration.thresholds if bundle.calibration else None
    classifier = Classifier(path, bundle.input.reading or _READING, thresholds, content)
    if classifier.labels != bundle.labels:
        raise BundleError(f"{path}: its labels differ from those in {BUNDLE_JSON}", _VERIFY)
    return classifier


def _name(image: Image) -> str:
    return str(image) if isinstance(image, str | Path) else "the image"


def _content(image: Image, max_pixels: int) -> bytes:
    """Return the content of an image file of up to `max_pixels`."""
    if isinstance(image, str | Path):
        return read_file(str(image), str(Path(image).resolve().parent), bounds.max_file_bytes(max_pixels))
    if isinstance(image, bytes | bytearray):
        return bytes(image)
    if isinstance(image, PIL.Image.Image):
        file = io.BytesIO()
        image.save(file, "PNG", exif=image.getexif())
        return file.getvalue()
    if isinstance(image, np.ndarray):
        if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
            return bytes(tf.io.encode_png(image).numpy())
        found = f"an array of {image.dtype} {list(image.shape)}"
    else:
        found = f"a {type(image).__name__}"
    raise DataError(f"the image is {found}", "give a path, bytes, uint8 [height, width, 3] in RGB, or a Pillow image")


def _labels_beside(path: Path) -> list[str] | None:
    try:
        return read_file(str(path.with_name(LABELS_FILE)), None, bounds.MAX_TEXT).decode().splitlines()
    except (UnreadableFile, UnicodeDecodeError):
        return None
