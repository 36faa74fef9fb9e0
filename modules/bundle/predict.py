"""Classify image files with a LiteRT model, as a phone would after the pipeline's own preprocessing.

Images are read and resized by the same functions that made the training data, which use TensorFlow. A second
implementation would start faster but differ slightly. The model runs in LiteRT's interpreter, in a process of its own
(`isolated_model`).
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import tensorflow as tf

from edgetune.modules.bundle.files import BundleFiles, checksum_problems, refuse_parent, shown
from edgetune.modules.bundle.isolated_model import IsolatedModel
from edgetune.modules.bundle.signing import TOOL, require_signature
from edgetune.modules.contracts.bundle import BUNDLE_JSON, InputReading, model_file, parse_bundle
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.core import bounds
from edgetune.modules.core.errors import BundleError, ConfigError, DataError
from edgetune.modules.data.class_folders import ignored
from edgetune.modules.images import reader
from edgetune.modules.images.decode import decode
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import DataSettings
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

REFERENCE = "float32"
AUTO = "auto"
Image = str | Path | bytes | bytearray | np.ndarray | PIL.Image.Image
"""A path, the content of an image file, pixels uint8 `[H, W, 3]` in RGB, or an image of Pillow."""
# The defaults of a run's settings.
_MAX_PIXELS = DataSettings.model_fields["max_pixels"].default
_READING = InputReading(
    max_side=DataSettings.model_fields["max_side"].default, background=DataSettings.model_fields["background"].default
)
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
        for image in several:
            ranked = self.best(self.classify(image), len(self.labels))
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
        if threshold == AUTO:
            if self.thresholds is None:
                raise BundleError(
                    f"{self.path}: there are no thresholds of the classes",
                    "name the folder of a bundle that was made by a newer edgetune, or give a number as the threshold",
                )
            return self.thresholds
        try:
            number = float(threshold)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number <= 1:
            raise ConfigError(f"threshold {threshold!r:.40}: is neither {AUTO} nor a number from 0 to 1", "correct it")
        return [number] * len(self.labels)

    def accepts(self, label: str, probability: float, thresholds: Sequence[float | None]) -> bool:
        """Return whether an answer reaches the threshold of its class; never for a class without one."""
        threshold = thresholds[self.labels.index(label)]
        return threshold is not None and probability >= threshold

    def classify(self, image: Image) -> np.ndarray:
        """Return the probabilities of one image, float32 `[C]`, in the order of `labels`.

        Args:
            image: As for `predict`.

        Raises:
            DataError: It cannot be read, or is not an image that the pipeline would accept.
            BundleError: The model ends the process that runs it.
        """
        name = str(image) if isinstance(image, str | Path) else "the image"
        try:
            read = reader.read_image(_content(image, self._reading.max_pixels), self._reading)
        # Paths with a null byte are a ValueError.
        except (UnreadableFile, reader.Unusable, OSError, ValueError) as error:
            raise DataError(
                f"{name}: {error}", "give an image file that the pipeline reads, such as JPEG or PNG"
            ) from None
        pixels = decode(tf.constant(read.encoded), self.image_size, self._reading).numpy()
        try:
            return self._runner.probabilities(pixels[np.newaxis])[0]
        except BundleError as error:
            raise BundleError(f"{self.path}: {error.cause}", error.remedy) from None

    def best(self, probabilities: np.ndarray, top: int) -> list[tuple[str, float]]:
        """Return the `top` most probable classes with their probabilities, the most probable first."""
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.labels[index], float(probabilities[index])) for index in order]


def open_model(
    source: Path, variant: str | None = None, public_key: Path | None = None, sign_tool: str = TOOL
) -> Classifier:
    """Open a model, reading images as its bundle specifies.

    Args:
        source: A bundle's folder, or a `.tflite` file; a file inside a bundle is treated as part of it.
        variant: As for `model_path`.
        public_key: PEM file of the key that must have signed the bundle; None does not check a signature.
        sign_tool: As for `signing.check_signature`.

    Raises:
        BundleError: The model cannot be used, a file of the bundle is missing or altered, or it is not signed with this
            key.
        ConfigError: The public key does not exist, or the signing tool is not installed.
    """
    path = model_path(source, variant)
    if not source.is_dir() and not path.with_name(BUNDLE_JSON).exists():
        if public_key is not None:
            raise BundleError(f"{path}: is not in a bundle, so nothing is signed", "name the folder of a signed bundle")
        return Classifier(path)
    folder = path.parent
    files = BundleFiles(folder)
    if wrong := checksum_problems(files):
        named = "; ".join(f"{shown(file)} {cause}" for file, cause, _ in wrong[:_NAMED])
        more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise BundleError(f"{folder}: {named}{more}", _VERIFY)
    if public_key is not None:
        require_signature(files, public_key, sign_tool)
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


def model_path(bundle: Path, variant: str | None = None) -> Path:
    """Return the path of a variant's file.

    Args:
        bundle: A bundle's folder, or a `.tflite` file.
        variant: Name of the variant; None for the reference float32 if it exists, else for the first by name.

    Raises:
        BundleError: The file does not exist.
    """
    if not bundle.is_dir():
        if not bundle.exists():
            raise BundleError(f"{bundle}: does not exist", "name the folder of an edge bundle, or a .tflite file")
        if variant is not None:
            raise BundleError(
                f"--variant {variant}: {bundle} is a single model", "omit --variant, or name the bundle's folder"
            )
        return bundle
    prefix, suffix = model_file("*").split("*")
    names = sorted(path.name.removeprefix(prefix).removesuffix(suffix) for path in bundle.glob(model_file("*")))
    if not names:
        refuse_parent(bundle, "edgetune predict")
        raise BundleError(
            f"{bundle}: contains no {model_file('<variant>')}", f"name the folder that contains {BUNDLE_JSON}"
        )
    if variant is not None and variant not in names:
        raise BundleError(f"{bundle}: has no variant {variant}", f"choose one of {shown(', '.join(names))}")
    return bundle / model_file(variant or (REFERENCE if REFERENCE in names else names[0]))


def images_in(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the given files, and the files in the given folders recursively, sorted and without hidden ones.

    Raises:
        DataError: A folder contains no files or cannot be read.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = False
        for folder, below, names in os.walk(path, onerror=_unreadable):
            below[:] = sorted(name for name in below if not ignored(name))
            for name in sorted(name for name in names if not ignored(name)):
                found = True
                yield Path(folder, name)
        if not found:
            raise DataError(f"{path}: the folder contains no files", "name image files, or folders of them")


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


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read: {error.strerror}", "check its permissions")


def _labels_beside(path: Path) -> list[str] | None:
    try:
        return read_file(str(path.with_name(LABELS_FILE)), None, bounds.MAX_TEXT).decode().splitlines()
    except (UnreadableFile, UnicodeDecodeError):
        return None
