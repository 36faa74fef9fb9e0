"""Golden images: a few of the test split at the model's exact size, with the probabilities that each variant must give.

Whoever integrates a bundle can see with them whether the phone computes what was measured here. PNG, so that every
decoder gives the same pixels, and of the exact size, because clients resize in different ways.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from edgetune.modules.contracts.bundle import EXPECTED
from edgetune.modules.litert.interpreter import runtime

MOST = 10
SAVED_MODEL = "saved_model"


class Golden:
    """Collects the first image of each class, of at most `MOST` classes, and writes them.

    Args:
        folder: Where to; it is made. May be a URL.
        labels: Class names in the order of the model's outputs.
    """

    def __init__(self, folder: str, labels: Sequence[str]) -> None:
        self._folder, self._labels = folder, list(labels)
        self._images: dict[int, np.ndarray] = {}

    def offer(self, images: np.ndarray, truth: np.ndarray) -> None:
        """Keeps what is still missing of a batch: uint8 `[N, S, S, 3]` and class indices int64 `[N]`."""
        for image, label in zip(images, truth, strict=True):
            if int(label) < MOST:
                self._images.setdefault(int(label), image)

    def write(
        self,
        server: Callable[[Sequence[bytes]], np.ndarray],
        variants: Mapping[str, Callable[[np.ndarray], np.ndarray | None]],
    ) -> None:
        """Writes the images and `expected.json`.

        Args:
            server: The SavedModel: encoded images `[N]` to float32 `[N, C]`.
            variants: Each variant by name: pixels uint8 `[N, S, S, 3]` to float32 `[N, C]`, or None where it fails.
        """
        tf.io.gfile.makedirs(self._folder)
        entries = []
        for number, (label, image) in enumerate(sorted(self._images.items())):
            encoded = tf.io.encode_png(image).numpy()
            name = f"{number:02d}.png"
            with tf.io.gfile.GFile(f"{self._folder}/{name}", "wb") as file:
                file.write(encoded)
            answers: dict[str, np.ndarray | None] = {SAVED_MODEL: server([encoded])}
            answers |= {variant: ask(image[np.newaxis]) for variant, ask in variants.items()}
            probabilities = {who: _plain(answer[0]) for who, answer in answers.items() if answer is not None}
            entries.append({"file": name, "label": self._labels[label], "probabilities": probabilities})
        expected: dict[str, Any] = {"labels": self._labels, "runtime": runtime(), "images": entries}
        with tf.io.gfile.GFile(f"{self._folder}/{EXPECTED}", "w") as text:
            text.write(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


def _plain(probabilities: np.ndarray) -> list[float]:
    # Nine digits bring back the same float32.
    return [float(f"{value:.9g}") for value in probabilities]
