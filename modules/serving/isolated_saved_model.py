"""Ask a SavedModel about image files in a child process, which loads it as a server does.

A SavedModel is a program. In a process of its own, one that crashes, hangs or takes all memory is an error with a
sentence. One that has operations for files or Python is refused before it is loaded; a model of somebody whom you do
not trust may find other ways, so its signature should be checked.

The parent writes a line of JSON and gets one. Then, for some images, it writes a line of JSON with their sizes and
their content; it gets a line of JSON with the reasons for those that were refused, and the probabilities of the others,
float32 in the order of the images.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgetune.modules.contracts import signatures
from edgetune.modules.contracts.thresholds import Thresholds
from edgetune.modules.core import bounds
from edgetune.modules.core.answering_process import AnsweringProcess, Ended
from edgetune.modules.core.errors import BundleError, DataError
from edgetune.modules.serving.infra_probe import reason
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

BATCH = 16
"""Images in a question: the activations of a large network take hundreds of megabytes for each."""
_SECONDS = 600
"""Wall-clock time for loading, and for each question."""
_DENIED = frozenset({"ReadFile", "WriteFile", "PrintV2", "PyFunc", "PyFuncStateless", "EagerPyFunc"})
"""Operations that no exported model has: the first three are those for which TensorFlow's `saved_model_cli scan`
searches."""
_LATER = 60  # seconds after which the child ends itself
_READABLE = "give an image file that the pipeline reads, such as JPEG or PNG"


class ServedModel:
    """A SavedModel in a child process, which ends with this object: `labels` in the order of the outputs.

    Images are read as the run that made it reads them, by its own graph. What the graph refuses and ingest accepts, as
    HEIC, ingest's reader converts first, with the default `data.background`.

    Args:
        path: Its folder.

    Raises:
        BundleError: It cannot be loaded, is not one that edgetune exported, or ends the process that runs it.
    """

    thresholds: Thresholds | None = None
    """They are in the edge bundle."""

    def __init__(self, path: Path, seconds: float = _SECONDS, memory: int = bounds.MODEL_MEMORY) -> None:
        self.path, self._seconds = path, seconds
        self._process = AnsweringProcess(__name__, memory)
        first = {"saved_model": str(path.resolve()), "seconds": int(seconds) + _LATER}
        answer = json.loads(self._ask(json.dumps(first).encode() + b"\n", _line))
        if "cause" in answer:
            raise BundleError(f"{path}: {answer['cause']}", "name the folder of a version that edgetune pushed")
        self.labels: list[str] = answer["labels"]

    def answers(
        self, images: Iterable[tuple[str, Path | bytes | DataError]]
    ) -> Iterator[tuple[str, np.ndarray | DataError]]:
        """Yield the name of each image and its probabilities, float32 `[C]`, or why it has none.

        Args:
            images: Name of each, and a path, the content of a file, or why there is none.
        """
        waiting: list[tuple[str, Path | bytes | DataError]] = []
        for image in images:
            waiting.append(image)
            if len(waiting) == BATCH:
                yield from self._answered(waiting)
                waiting = []
        yield from self._answered(waiting)

    def _answered(
        self, images: Sequence[tuple[str, Path | bytes | DataError]]
    ) -> Iterator[tuple[str, np.ndarray | DataError]]:
        contents = [content_of(name, image) for name, image in images]
        answers = iter(self.probabilities([content for content in contents if isinstance(content, bytes)]))
        for (name, _), content in zip(images, contents, strict=True):
            found = content if isinstance(content, DataError) else next(answers)
            yield name, DataError(f"{name}: {found}", _READABLE) if isinstance(found, str) else found

    def probabilities(self, contents: Sequence[bytes]) -> list[np.ndarray | str]:
        """Return the probabilities of image files, float32 `[C]` each, or why one is refused.

        Raises:
            BundleError: The model ends the process that runs it, or exceeds a bound.
        """
        if not contents:
            return []
        sizes = json.dumps({"sizes": [len(content) for content in contents]}).encode() + b"\n"
        classes, rows = len(self.labels), list[bytes]()

        def read(stream: IO[bytes]) -> bytes | None:
            if (head := _line(stream)) is not None:
                rows.append(stream.read(4 * classes * (len(contents) - len(json.loads(head)["refused"]))))
            return head

        refused = json.loads(self._ask(b"".join([sizes, *contents]), read))["refused"]
        scores = iter(np.frombuffer(rows[0], "<f4").reshape(-1, classes))
        return [refused[str(place)] if str(place) in refused else next(scores) for place in range(len(contents))]

    def _ask(self, question: bytes, read: Callable[[IO[bytes]], bytes | None]) -> bytes:
        try:
            return self._process.ask(question, read, self._seconds)
        except Ended as end:
            raise BundleError(f"{self.path}: the process that runs the model {end}", "do not use this model") from None


def content_of(name: str, image: Path | bytes | DataError, most: int = bounds.MAX_PIXELS) -> bytes | DataError:
    """Return the content of an image file, or why it cannot be read.

    Args:
        name: For the error.
        image: Its path, or its content, or the error.
        most: Number of pixels of the largest image that is read.
    """
    if not isinstance(image, Path):
        return image
    try:
        return read_file(str(image), str(image.resolve().parent), bounds.max_file_bytes(most))
    except (UnreadableFile, OSError, ValueError) as error:  # paths with a null byte are a ValueError
        return DataError(f"{name}: {error}", _READABLE)


def _line(stream: IO[bytes]) -> bytes | None:
    line = stream.readline()
    return line if line.endswith(b"\n") else None


def main() -> None:
    """Answer until the input ends; entry point of the child process."""
    given, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # native code may print
    request = json.loads(given.readline())
    signal.alarm(request["seconds"])  # for the case that the parent was killed
    try:
        serving, labels = _load(request["saved_model"])
    except Exception as error:  # noqa: BLE001 - a damaged model can raise any exception
        _tell(answers, {"cause": f"cannot be used as a SavedModel: {reason(error)}"})
        return
    _tell(answers, {"labels": labels})
    signal.alarm(0)
    while line := given.readline():
        signal.alarm(request["seconds"])
        found = _answers(serving, [given.read(size) for size in json.loads(line)["sizes"]])
        _tell(
            answers,
            {"refused": {place: text for place, text in enumerate(found) if isinstance(text, str)}},
            b"".join(scores.astype("<f4").tobytes() for scores in found if not isinstance(scores, str)),
        )
        signal.alarm(0)


def _load(path: str) -> tuple[Callable[[Sequence[bytes]], np.ndarray], list[str]]:
    """Return the signature for image files, called as a function, and the class names."""
    import tensorflow as tf

    from edgetune.modules.serving.saved_model import read_labels

    _check_operations(path)
    loaded = tf.saved_model.load(path)
    if signatures.SERVING not in loaded.signatures:
        raise ValueError(f"it has no signature {signatures.SERVING}")
    labels = read_labels(path)

    def serve(contents: Sequence[bytes]) -> np.ndarray:
        given = {signatures.IMAGE_BYTES: tf.constant(list(contents), tf.string)}
        answer: Mapping[str, Any] = loaded.signatures[signatures.SERVING](**given)
        scores = np.asarray(answer[signatures.PROBABILITIES])
        if scores.shape != (len(contents), len(labels)):
            raise ValueError(f"it gives {list(scores.shape)} probabilities for {len(labels)} class names")
        return scores

    serve.loaded = loaded  # type: ignore[attr-defined]  # its variables live as long as it
    return serve, labels


def _check_operations(path: str) -> None:
    """Refuse a model with operations that read or write files, or run Python, without loading it."""
    from tensorflow.core.protobuf import saved_model_pb2

    from edgetune.modules.serving.saved_model import SAVED_MODEL_FILE

    parsed = saved_model_pb2.SavedModel.FromString(Path(path, SAVED_MODEL_FILE).read_bytes())
    graphs = [each.graph_def for each in parsed.meta_graphs]
    found = {node.op for graph in graphs for node in graph.node}
    found |= {node.op for graph in graphs for function in graph.library.function for node in function.node_def}
    if denied := sorted(found & _DENIED):
        raise ValueError(f"it has the operations {', '.join(denied)}, which act outside of the model")


def _answers(serve: Callable[[Sequence[bytes]], np.ndarray], contents: Sequence[bytes]) -> list[np.ndarray | str]:
    import tensorflow as tf

    try:
        return list(serve(contents))
    except tf.errors.OpError:  # of one of them, and the others have answers
        return [_alone(serve, content) for content in contents]


def _alone(serve: Callable[[Sequence[bytes]], np.ndarray], content: bytes) -> np.ndarray | str:
    import tensorflow as tf

    from edgetune.modules.images.reader import Unusable, read_image
    from edgetune.modules.images.reading import Reading

    try:
        return np.asarray(serve([content])[0])
    except tf.errors.OpError as error:
        refusal = reason(error)
    try:
        stored = read_image(content, Reading()).encoded
        return refusal if stored == content else np.asarray(serve([stored])[0])
    except Unusable as error:
        return str(error)
    except tf.errors.OpError:
        return refusal


def _tell(answers: IO[bytes], content: Mapping[str, Any], rows: bytes = b"") -> None:
    answers.write(json.dumps(content).encode() + b"\n" + rows)
    answers.flush()


if __name__ == "__main__":
    main()
