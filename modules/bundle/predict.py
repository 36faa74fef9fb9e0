"""Classifying image files with one LiteRT model, as a phone would after the pipeline's own preprocessing.

Images are read and resized by the very functions that made the training data, which are TensorFlow's: a second way
would be faster to start and slightly wrong. The model itself runs in LiteRT's interpreter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from edgetune.modules.bundle.files import MAX_BYTES, BundleFiles, checksum_problems, shown
from edgetune.modules.contracts.bundle import BUNDLE_JSON, InputReading, model_file, parse_bundle
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.core.errors import BundleError, DataError, ExportError
from edgetune.modules.data.class_folders import ignored
from edgetune.modules.images import reader
from edgetune.modules.images.decode import decode
from edgetune.modules.litert import inspection, metadata
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.modules.settings.run import DataSettings
from edgetune.modules.storage.safe_read import UnreadableFile, max_file_bytes, read_file

REFERENCE = "float32"
# What a run takes where it is told nothing else.
_MAX_PIXELS = DataSettings.model_fields["max_pixels"].default
_READING = InputReading(
    max_side=DataSettings.model_fields["max_side"].default, background=DataSettings.model_fields["background"].default
)
_AGAIN = "`edgetune verify` tells more of a bundle"
_NAMED = 3


class Classifier:
    """A model with its class names.

    Args:
        path: A `.tflite`, with its labels inside or as `labels.txt` beside it.
        reading: How images are read; by default as a run does that is told nothing else.

    Raises:
        BundleError: It cannot be read, is no LiteRT model, takes or gives something else, or has no labels for it.
    """

    def __init__(self, path: Path, reading: InputReading = _READING) -> None:
        try:
            if path.stat().st_size > MAX_BYTES:
                raise BundleError(f"{path}: is larger than any model", _AGAIN)
            content = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error.strerror}", "name a .tflite or a bundle") from None
        self.path, self._reading = path, reading
        try:
            facts = inspection.inspect(content)
            # What an int8 file takes is the one difference; anything else is a model of another kind.
            variant = "int8" if facts.inputs and facts.inputs[0].dtype == "uint8" else REFERENCE
            shape = facts.inputs[0].shape if facts.inputs else ()
            self.image_size = shape[1] if len(shape) == 4 else 0
            self.labels = metadata.read_labels(content) or _labels_beside(path)
            problems = inspection.problems(facts, variant, self.image_size, len(self.labels))
            self._runner = EdgeRunner(content)
        except (ExportError, IndexError) as error:
            raise BundleError(f"{path}: {getattr(error, 'cause', error)}", _AGAIN) from None
        if problems:
            raise BundleError(f"{path}: {'; '.join(problems)}", "only models of an edge bundle can be run here")

    def classify(self, path: Path) -> np.ndarray:
        """Probabilities of one image file, float32 `[C]`, in the order of `labels`.

        Raises:
            DataError: It cannot be read, or is no image that the pipeline would take.
        """
        try:
            content = read_file(str(path), str(path.resolve().parent), max_file_bytes(_MAX_PIXELS))
            background = "#{:02x}{:02x}{:02x}".format(*self._reading.background)
            image = reader.read_image(content, _MAX_PIXELS, self._reading.max_side, background)
        except (UnreadableFile, reader.Unusable, OSError) as error:
            raise DataError(f"{path}: {error}") from None
        pixels = decode(tf.constant(image.encoded), self.image_size).numpy()
        return np.asarray(self._runner.probabilities(pixels[np.newaxis])[0])

    def best(self, probabilities: np.ndarray, top: int) -> list[tuple[str, float]]:
        """The `top` most probable classes with their probabilities, the best first."""
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.labels[index], float(probabilities[index])) for index in order]


def open_model(place: Path, variant: str | None = None) -> Classifier:
    """A model that is asked as its bundle says.

    Args:
        place: A bundle's folder, or a `.tflite`; one that stands in a bundle is taken as part of it.
        variant: As of `model_path`.

    Raises:
        BundleError: The model cannot be used, or the bundle lacks a file, or has one that is not what was pushed.
    """
    path = model_path(place, variant)
    if not place.is_dir() and not path.with_name(BUNDLE_JSON).exists():
        return Classifier(path)
    folder = path.parent
    files = BundleFiles(folder)
    if wrong := checksum_problems(files):
        named = "; ".join(f"{shown(file)} {cause}" for file, cause, _ in wrong[:_NAMED])
        more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise BundleError(f"{folder}: {named}{more}", _AGAIN)
    try:
        bundle = parse_bundle(files.read(BUNDLE_JSON))
    except BundleError as error:
        raise BundleError(f"{folder / BUNDLE_JSON}: {error.cause}", error.remedy) from None
    facts = next((facts for facts in bundle.variants.values() if facts.file == path.name), None)
    if facts is None or facts.sha256 != files.sha256(path.name):
        raise BundleError(f"{path}: is not the file that {BUNDLE_JSON} says was measured", _AGAIN)
    classifier = Classifier(path, bundle.input.reading or _READING)
    if classifier.labels != bundle.labels:
        raise BundleError(f"{path}: its labels are not those of {BUNDLE_JSON}", _AGAIN)
    return classifier


def model_path(bundle: Path, variant: str | None = None) -> Path:
    """The file of a variant.

    Args:
        bundle: A bundle's folder, or a `.tflite`.
        variant: Its name; None for float32, the reference, where it is there, else the first by name.

    Raises:
        BundleError: It is not there.
    """
    if not bundle.is_dir():
        if not bundle.exists():
            raise BundleError(f"{bundle}: does not exist", "name a folder of an edge bundle, or a .tflite")
        if variant is not None:
            raise BundleError(f"--variant {variant}: {bundle} is one model", "leave --variant out, or name the bundle")
        return bundle
    prefix, suffix = model_file("*").split("*")
    names = sorted(path.name.removeprefix(prefix).removesuffix(suffix) for path in bundle.glob(model_file("*")))
    if not names:
        raise BundleError(f"{bundle}: holds no {model_file('<variant>')}", f"name the folder that holds {BUNDLE_JSON}")
    if variant is not None and variant not in names:
        raise BundleError(f"{bundle}: has no variant {variant}", f"it has {shown(', '.join(names))}")
    return bundle / model_file(variant or (REFERENCE if REFERENCE in names else names[0]))


def images_in(paths: Sequence[Path]) -> Iterator[Path]:
    """Each file that is named, and all in each folder that is named and below, in order, without hidden ones.

    Raises:
        DataError: A folder holds no files, or cannot be read.
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
            raise DataError(f"{path}: the folder holds no files", "name images, or folders of them")


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read: {error.strerror}", "check its permissions")


def _labels_beside(path: Path) -> list[str]:
    try:
        return path.with_name(LABELS_FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise BundleError(f"{path}: has no labels inside, and no {LABELS_FILE} beside it", _AGAIN) from None
