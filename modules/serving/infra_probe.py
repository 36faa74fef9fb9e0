"""Ask a SavedModel everything that a server could be asked, in a child process that loads it as a server does.

This is the child of `infra_check`. Its first argument is a JSON file, a `Request`; it writes its `Findings` so far to
standard output, a line of JSON after each step, so that the parent knows what was being done when the process ended.

    serving_default      each original file and each stored image, alone and in batches
    serving_examples     each stored example, alone and in batches
    transform_features   the same; the label's index must be that of the class, and the pixels the same in a batch
    edge                 the pixels that transform_features gave, one image at a time
    broken images        each alone and after a good one: an error is needed, and a good answer afterwards
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgetune.modules.contracts import example_features, signatures

MARK = "edgetune: "
BATCH = 8
"""Images in a request: the activations of a large network take hundreds of megabytes for each."""
TOLERANCE = 1e-3
"""Largest difference of a probability from the measured one. The same graph gets the same pixels; only the size of the
batch changes, and with it the order of sums, which moves a probability by about 1e-6. This leaves room for an Evaluator
on another processor or a GPU, and is far below what a wrong orientation, background or scaling changes."""
DONE = "done"
_MOST = 20  # problems that are described
_ALARM = 60  # seconds after the parent's limit, if it cannot stop this process


@dataclass(frozen=True)
class Image:
    """A test image with its measured answer."""

    name: str
    label: str
    expected: list[float]
    """Measured probability of each class."""
    example: str
    """File with the serialized raw example."""
    original: str | None = None
    """The file as the user has it; None if it is not asked, or if ingest stored the same bytes."""


@dataclass(frozen=True)
class Request:
    """What a SavedModel is asked."""

    saved_model: str
    """Folder or URL."""
    labels: list[str]
    images: list[Image]
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Name and file of images that must be refused."""
    seconds: int = 600


@dataclass
class Findings:
    """Result, so far."""

    doing: str = "starting"
    """What was begun last; `DONE` at the end."""
    problems: list[str] = field(default_factory=list)
    more_problems: int = 0
    """Number of problems that are not described."""
    difference: float | None = None
    """Largest difference from a measured probability; None if nothing was compared."""
    compared: int = 0
    """Number of answers that were compared with measured ones."""
    refused: int = 0
    """Number of broken requests that were refused, as they must be."""
    load_seconds: float | None = None

    def problem(self, text: str) -> None:
        """Add a problem; of many, only the first are described."""
        if len(self.problems) < _MOST:
            self.problems.append(text)
        else:
            self.more_problems += 1


Signature = Callable[..., Mapping[str, Any]]


class Examination:
    """Asks the signatures of a loaded SavedModel, and adds to its findings.

    Args:
        served: The signatures by name.
        request: What to ask.
    """

    def __init__(self, served: Mapping[str, Signature], request: Request) -> None:
        self.served, self.request, self.findings = served, request, Findings()
        self._stored = [Path(image.example).read_bytes() for image in request.images]
        self._encoded = [_feature(example, example_features.IMAGE) for example in self._stored]
        self._pixels: list[bytes] = []

    def run(self) -> Iterator[Findings]:
        """Take all steps; the findings are yielded when one begins, and at the end."""
        steps: tuple[tuple[str, str, Callable[[], None]], ...] = (
            (signatures.SERVING, "original files", self._originals),
            (signatures.SERVING, "stored images", self._encoded_images),
            (signatures.EXAMPLES, "stored examples", self._examples),
            (signatures.TRANSFORM, "stored examples", self._transformed),
            (signatures.EDGE, "transformed images", self._edge),
            (signatures.SERVING, "broken images", self._broken),
            (signatures.SERVING, "stored images again, after broken ones", self._again),
        )
        present = []
        for name in (signatures.SERVING, signatures.EXAMPLES, signatures.TRANSFORM, signatures.EDGE):
            if name in self.served:
                present.append(name)
            else:
                self.findings.problem(f"has no signature {name}")
        for name, what, step in steps:
            if name in present and (name != signatures.EDGE or signatures.TRANSFORM in present):
                self.findings.doing = f"asking {name}: {what}"
                yield self.findings
                try:
                    step()
                except Exception as error:  # noqa: BLE001 - a graph may raise anything, and lack what a step expects
                    self.findings.problem(f"{name}, {what}: {reason(error)}")
        self.findings.doing = DONE
        yield self.findings

    def _originals(self) -> None:
        asked = [image for image in self.request.images if image.original is not None]
        contents = [Path(str(image.original)).read_bytes() for image in asked]
        self._ask_all(signatures.SERVING, signatures.IMAGE_BYTES, asked, contents, "the file")

    def _encoded_images(self, most: int | None = None) -> None:
        images, contents = self.request.images[:most], self._encoded[:most]
        self._ask_all(signatures.SERVING, signatures.IMAGE_BYTES, images, contents, "the stored image")

    def _again(self) -> None:
        self._encoded_images(BATCH)

    def _examples(self) -> None:
        self._ask_all(
            signatures.EXAMPLES, signatures.SERIALIZED, self.request.images, self._stored, "the stored example"
        )

    def _ask_all(self, name: str, key: str, images: Sequence[Image], contents: Sequence[bytes], what: str) -> None:
        """Ask about each alone, and in batches, and compare all answers with the measured ones."""
        import tensorflow as tf

        for size, how in ((1, "alone"), (BATCH, "in a batch")):
            for start in range(0, len(images), size):
                part = images[start : start + size]
                try:
                    answer = self.served[name](**{key: tf.constant(contents[start : start + size], tf.string)})
                except tf.errors.OpError as error:
                    self.findings.problem(f"{part[0].name}: {name} refuses {what} ({how}): {reason(error)}")
                    continue
                scores = np.asarray(answer[signatures.PROBABILITIES])
                if scores.shape != (len(part), len(self.request.labels)):
                    self.findings.problem(f"{name} gives probabilities of shape {list(scores.shape)} for {len(part)}")
                    continue
                for row, image in enumerate(part):
                    self._compare(image, scores[row], f"{name}, {what} {how}")
                if name == signatures.SERVING:
                    self._check_best(part, scores, answer)

    def _compare(self, image: Image, scores: np.ndarray, where: str) -> None:
        expected = np.array(image.expected)
        if expected.shape != scores.shape:
            self.findings.problem(f"{image.name}: {len(expected)} probabilities were measured, {len(scores)} are given")
            return
        apart = np.abs(scores.astype(np.float64) - expected)
        worst = int(np.argmax(apart))  # the first NaN, if there is one
        found = float(np.nan_to_num(apart[worst], nan=1.0))
        self.findings.compared += 1
        self.findings.difference = max(self.findings.difference or 0.0, found)
        if not apart[worst] <= TOLERANCE:
            label = self.request.labels[worst]
            self.findings.problem(
                f"{image.name}: {where}: the probability of {label!r} is {scores[worst]:.4f}, "
                f"and the Evaluator measured {expected[worst]:.4f}"
            )

    def _check_best(self, images: Sequence[Image], scores: np.ndarray, answer: Mapping[str, Any]) -> None:
        labels = [name.decode(errors="replace") for name in np.asarray(answer[signatures.LABEL]).tolist()]
        best = [self.request.labels[index] for index in scores.argmax(axis=1)]
        score = np.asarray(answer[signatures.SCORE])
        if labels != best or not np.array_equal(score, scores.max(axis=1)):
            self.findings.problem(
                f"{images[0].name}: {signatures.SERVING} names another class than the most probable one"
            )

    def _transformed(self) -> None:
        import tensorflow as tf

        for size in (1, BATCH):
            for start in range(0, len(self._stored), size):
                part = self.request.images[start : start + size]
                serialized = tf.constant(self._stored[start : start + size], tf.string)
                features = self.served[signatures.TRANSFORM](**{signatures.SERIALIZED: serialized})
                pixels = np.asarray(features[example_features.IMAGE]).ravel().tolist()
                indices = np.asarray(features[example_features.LABEL_INDEX]).ravel().tolist()
                wanted = [self.request.labels.index(image.label) for image in part]
                if indices != wanted:
                    self.findings.problem(
                        f"{part[0].name}: {signatures.TRANSFORM} gives the labels {indices}, not {wanted}"
                    )
                if size == 1:
                    self._pixels += pixels
                elif pixels != self._pixels[start : start + size]:
                    self.findings.problem(f"{part[0].name}: {signatures.TRANSFORM} gives other pixels in a batch")

    def _edge(self) -> None:
        import tensorflow as tf

        for image, raw in zip(self.request.images, self._pixels, strict=True):
            pixels = np.frombuffer(raw, np.uint8).astype(np.float32)
            size = round((pixels.size / 3) ** 0.5)
            answer = self.served[signatures.EDGE](**{signatures.IMAGE: tf.constant(pixels.reshape(1, size, size, 3))})
            self._compare(image, np.asarray(answer[signatures.PROBABILITIES])[0], signatures.EDGE)

    def _broken(self) -> None:
        """Ask about broken images and those that must be refused, alone and after a good one."""
        import tensorflow as tf

        bad = [*broken_images().items(), *((name, Path(file).read_bytes()) for name, file in self.request.refused)]
        for name, content in bad:
            for before in ([], self._encoded[:1]):
                for signature, key, wrap in (
                    (signatures.SERVING, signatures.IMAGE_BYTES, bytes),
                    (signatures.EXAMPLES, signatures.SERIALIZED, _example),
                    (signatures.TRANSFORM, signatures.SERIALIZED, _example),
                ):
                    if signature not in self.served:
                        continue
                    asked = tf.constant([wrap(each) for each in (*before, content)], tf.string)
                    try:
                        # Transform's answer does not depend on the image unless its value is fetched.
                        _ = [np.asarray(value) for value in self.served[signature](**{key: asked}).values()]
                    except tf.errors.OpError:
                        self.findings.refused += 1
                    else:
                        self.findings.problem(f"{name}: {signature} answers it instead of refusing it")


def broken_images() -> dict[str, bytes]:
    """Return images that nobody can read, by a name that says why."""
    import tensorflow as tf

    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    jpeg, png = tf.io.encode_jpeg(noise).numpy(), tf.io.encode_png(noise).numpy()
    return {
        "half a JPEG": jpeg[: len(jpeg) // 2],
        "half a PNG": png[: len(png) // 2],
        "an empty file": b"",
        "a text file": b"This is not an image.\n",
    }


def reason(error: Exception) -> str:
    """Return the first line of an error that says something, without TensorFlow's nodes, at most 300 characters."""
    message = getattr(error, "message", None) or str(error)
    lines = [re.sub(r"\{\{.*?\}\}", "", line).strip() for line in str(message).splitlines()]
    return next((line for line in lines if line and not line.startswith("Detected at node")), type(error).__name__)[
        :300
    ]


def _feature(example: bytes, name: str) -> bytes:
    import tensorflow as tf

    found: bytes = tf.train.Example.FromString(example).features.feature[name].bytes_list.value[0]
    return found


def _example(content: bytes) -> bytes:
    import tensorflow as tf

    values = {example_features.IMAGE: content, example_features.LABEL: b""}
    lists = {name: tf.train.BytesList(value=[value]) for name, value in values.items()}
    features = {name: tf.train.Feature(bytes_list=found) for name, found in lists.items()}
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def main() -> None:
    """Load the SavedModel and ask it; entry point of the child process."""
    import time

    values = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    images = [Image(**image) for image in values.pop("images")]
    request = Request(**{**values, "images": images})
    signal.alarm(request.seconds + _ALARM)  # its default action ends the process, also inside an operation
    started = time.monotonic()
    tell(Findings(doing="loading the SavedModel"))
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(request.saved_model)
    except Exception as error:  # noqa: BLE001 - whatever it is, a server could not load it either
        tell(Findings(DONE, [f"cannot be loaded: {reason(error)}"]))
        return
    examination = Examination(loaded.signatures, request)
    examination.findings.load_seconds = time.monotonic() - started
    for findings in examination.run():
        tell(findings)


def tell(findings: Findings) -> None:
    """Write the findings for the parent."""
    print(MARK + json.dumps(asdict(findings)), flush=True)


if __name__ == "__main__":
    main()
