"""Run a LiteRT model of unknown origin in a child process, which answers image after image.

The interpreter is C++ and trusts the numbers in a model: an index beyond a table crashes it, and a loop may never end.
The child has a bound on memory, and each answer one on time. What ends the child becomes an error of the parent.

The parent writes a line of JSON (`bytes`, `seconds`, `labels`) and the model's file to the child's standard input, and
gets a line of JSON. Then it writes the pixels of one image at a time, and gets its probabilities.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from edgetune.modules.bundle.files import shown
from edgetune.modules.bundle.probe import limit
from edgetune.modules.core import bounds
from edgetune.modules.core.answering_process import AnsweringProcess, Ended
from edgetune.modules.core.errors import BundleError, ExportError
from edgetune.modules.litert import inspection, metadata
from edgetune.modules.litert.interpreter import EdgeRunner

_MOST = 8 * bounds.MAX_TEXT  # bytes of the first answer, which has the labels as JSON
_LATER = 60  # seconds after which the child ends itself
_REMEDY = "do not use this model"


class IsolatedModel:
    """A model in a child process, which ends with this object: `labels` in the order of the outputs, `image_size` in
    pixels.

    Args:
        content: The file.
        beside: The class names that are known; None if they must be in the file.
        seconds: Wall-clock time for loading it, and for each answer.

    Raises:
        BundleError: It is not a LiteRT model, has other inputs or outputs than an edge model, has no labels, or ends
            the process that reads or runs it.
    """

    def __init__(self, content: bytes, beside: list[str] | None = None, seconds: float = bounds.MODEL_SECONDS) -> None:
        self._seconds, self._child = seconds, AnsweringProcess(__name__)
        first = {"bytes": len(content), "seconds": math.ceil(seconds) + _LATER, "labels": beside}
        answer = json.loads(self._ask(json.dumps(first).encode() + b"\n" + content, _line))
        if "cause" in answer:
            raise BundleError(answer["cause"])
        self.labels: list[str] = answer["labels"]
        self.image_size: int = answer["image_size"]

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities float32 `[N, C]` of images uint8 `[N, S, S, 3]`, RGB.

        Raises:
            BundleError: The model ends the process that runs it, or takes longer than allowed.
        """
        size = 4 * len(self.labels)

        def read(stream: IO[bytes]) -> bytes | None:
            answer = stream.read(size)
            return answer if len(answer) == size else None

        answers = [self._ask(np.ascontiguousarray(image, np.uint8).tobytes(), read) for image in images]
        return np.frombuffer(b"".join(answers), "<f4").reshape(len(images), len(self.labels))

    def _ask(self, question: bytes, read: Callable[[IO[bytes]], bytes | None]) -> bytes:
        try:
            return self._child.ask(question, read, self._seconds)
        except Ended as end:
            raise BundleError(f"the process that runs the model {end}", _REMEDY) from None


def _line(stream: IO[bytes]) -> bytes | None:
    line = stream.readline(_MOST)
    return line if line.endswith(b"\n") else None


def main() -> None:
    """Answer until the input ends; entry point of the child process."""
    given, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # native code may print
    request = json.loads(given.readline())
    content = given.read(request["bytes"])
    limit(bounds.MODEL_MEMORY)
    seconds = request["seconds"]
    signal.alarm(seconds)  # for the case that the parent was killed
    try:
        runner, found = _open(content, request["labels"])
    except Exception as error:  # noqa: BLE001 - a damaged file can raise any exception
        cause = getattr(error, "cause", None) or str(error).strip().partition("\n")[0] or type(error).__name__
        _tell(answers, json.dumps({"cause": shown(cause)}).encode() + b"\n")
        return
    _tell(answers, json.dumps(found).encode() + b"\n")
    shape = (1, found["image_size"], found["image_size"], inspection.CHANNELS)
    signal.alarm(0)
    while len(pixels := given.read(int(np.prod(shape)))) == np.prod(shape):
        signal.alarm(seconds)
        _tell(answers, runner.probabilities(np.frombuffer(pixels, np.uint8).reshape(shape)).astype("<f4").tobytes())
        signal.alarm(0)


def _open(content: bytes, beside: list[str] | None) -> tuple[EdgeRunner, dict[str, Any]]:
    facts = inspection.inspect(content)
    # Variants differ only in the input of int8.
    variant = "int8" if facts.inputs and facts.inputs[0].dtype == "uint8" else "float32"
    shape = facts.inputs[0].shape if facts.inputs else ()
    image_size = shape[1] if len(shape) == 4 else 0
    if image_size > bounds.MAX_IMAGE_SIZE:
        raise ExportError(
            f"takes images of {image_size} pixels, more than the {bounds.MAX_IMAGE_SIZE} of any edge model"
        )
    labels = metadata.read_labels(content) or beside
    if labels is None:
        raise ExportError("has no labels inside, and there is no labels.txt beside it")
    if problems := inspection.problems(facts, variant, image_size, len(labels)):
        raise ExportError("; ".join(problems))
    return EdgeRunner(content), {"labels": labels, "image_size": image_size}


def _tell(answers: IO[bytes], content: bytes) -> None:
    answers.write(content)
    answers.flush()


if __name__ == "__main__":
    main()
