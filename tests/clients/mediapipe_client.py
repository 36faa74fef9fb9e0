"""MediaPipe Tasks as an app uses it: `python mediapipe_client.py REQUEST.json RESPONSE.json`, in its own environment.

`tests/clients/client_process.py` says what a request and a response are. An error of MediaPipe is an answer too.
"""

from __future__ import annotations

import gc
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mediapipe
import numpy as np
from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata_schema
from mediapipe.tasks.metadata import schema_py_generated as model_schema
from mediapipe.tasks.python import BaseOptions, vision


def main(request: str, response: str) -> None:
    """Answers all questions of a request, one after the other."""
    # A classifier that failed is closed when it is collected, and MediaPipe waits for ever where that is in mid-work.
    gc.disable()
    with open(request, encoding="utf-8") as file:
        questions = json.load(file)
    answers = {name: answer(**question) for name, question in questions.items()}
    with open(response, "w", encoding="utf-8") as file:
        json.dump({"version": mediapipe.__version__, "answers": answers}, file)


def answer(model: str, images: str | list[str]) -> dict[str, Any]:
    """Return one model's metadata and its categories for each image, or the error and where it occurred."""
    found: dict[str, Any] = {"stage": "metadata"}
    try:
        found["metadata"] = metadata(model)
        found["stage"] = "load"
        options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=model), max_results=-1)
        with vision.ImageClassifier.create_from_options(options) as classifier:
            found["stage"] = "classify"
            results = [classifier.classify(image) for image in opened(images)]
        found["categories"] = [
            [(c.index, c.category_name, c.score) for c in result.classifications[0].categories] for result in results
        ]
        found["accepted"] = accepted(model, [image[0] for image in found["categories"]])
    except Exception as error:  # whatever it is, the test wants to see it
        found["error"] = f"{type(error).__name__}: {error}"
    return found


def accepted(model: str, best: list[tuple[int, str, float]]) -> list[str | None] | None:
    """Return the class of each answer that reaches its threshold in `bundle.json`; None where there is no bundle."""
    beside = Path(model).with_name("bundle.json")
    if not beside.exists():
        return None
    thresholds = json.loads(beside.read_text(encoding="utf-8"))["calibration"]["thresholds"]
    return [
        name if thresholds[index] is not None and score >= thresholds[index] else None for index, name, score in best
    ]


def opened(images: str | list[str]) -> Iterator[mediapipe.Image]:
    """Images from a file of pixels, or from files that MediaPipe decodes itself."""
    if isinstance(images, list):
        yield from (mediapipe.Image.create_from_file(path) for path in images)
    else:
        for pixels in np.load(images):
            yield mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(pixels))


def metadata(path: str) -> dict[str, Any] | None:
    """Return a model's metadata, read with MediaPipe's own classes; None where there is none."""
    with open(path, "rb") as file:
        content = file.read()
    model = model_schema.ModelT.InitFromObj(model_schema.Model.GetRootAs(content, 0))
    buffers = [entry.buffer for entry in model.metadata or [] if entry.name == b"TFLITE_METADATA"]
    if not buffers:
        return None
    written = bytes(model.buffers[buffers[0]].data)
    about = metadata_schema.ModelMetadataT.InitFromObj(metadata_schema.ModelMetadata.GetRootAs(written, 0))
    [image], [score] = about.subgraphMetadata[0].inputTensorMetadata, about.subgraphMetadata[0].outputTensorMetadata
    unit, labels = image.processUnits[0].options, score.associatedFiles[0]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        lines = archive.read(labels.name.decode()).decode().splitlines()
    kinds = metadata_schema.AssociatedFileType, metadata_schema.ColorSpaceType
    return {
        **{field: text(getattr(about, field)) for field in ("name", "description", "author", "license")},
        "min_parser_version": text(about.minParserVersion),
        "input": [text(image.name), text(image.description)],
        "output": [text(score.name), text(score.description)],
        "mean": list(map(float, unit.mean)),
        "std": list(map(float, unit.std)),
        "color": named(kinds[1], image.content.contentProperties.colorSpace),
        "size": [image.content.contentProperties.defaultSize.width, image.content.contentProperties.defaultSize.height],
        "range": [float(image.stats.min[0]), float(image.stats.max[0])],
        "labels_kind": named(kinds[0], labels.type),
        "labels": lines,
    }


def named(kind: type, value: int) -> str:
    """Name of a value of one of the schema's enumerations."""
    return next(name for name, number in vars(kind).items() if number == value)


def text(value: bytes | None) -> str | None:
    """Return a string of a flatbuffer."""
    return None if value is None else value.decode()


if __name__ == "__main__":
    main(*sys.argv[1:])
