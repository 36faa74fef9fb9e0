"""Golden images: a few test images at the model's input size, with the probabilities that each variant must give.

They show an integrator whether the phone computes what was measured here. They are PNG, so that every decoder gives the
same pixels, and have the exact input size, because clients resize in different ways.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from edgetune.modules.contracts.bundle import EXPECTED
from edgetune.modules.litert.interpreter import runtime

MAX_IMAGES = 10
SAVED_MODEL = "saved_model"


class Golden:
    """Collector of the first image of each class, for the first `MAX_IMAGES` classes.

    Args:
        folder: Folder to write to, created if missing. May be a URL.
        labels: Class names in the order of the model's outputs.
    """

    def __init__(self, folder: str, labels: Sequence[str]) -> None:
        self._folder, self._labels = folder, list(labels)
        self._images: dict[int, np.ndarray] = {}

    def offer(self, images: np.ndarray, truth: np.ndarray) -> None:
        """Keep the images of classes not seen yet from a batch uint8 `[N, S, S, 3]` with class indices int64 `[N]`."""
        for image, label in zip(images, truth, strict=True):
            if int(label) < MAX_IMAGES:
                self._images.setdefault(int(label), image)

    def write(
        self,
        server: Callable[[Sequence[bytes]], np.ndarray],
        variants: Mapping[str, Callable[[np.ndarray], np.ndarray | None]],
    ) -> None:
        """Write the images and `expected.json`.

        Args:
            server: The SavedModel: maps encoded images `[N]` to float32 `[N, C]`.
            variants: The variants by name: each maps pixels uint8 `[N, S, S, 3]` to float32 `[N, C]`, or to None if it
                fails.
        """
        tf.io.gfile.makedirs(self._folder)
        entries = []
        for number, (label, image) in enumerate(sorted(self._images.items())):
            encoded = tf.io.encode_png(image).numpy()
            png = f"{number:02d}.png"
            with tf.io.gfile.GFile(f"{self._folder}/{png}", "wb") as file:
                file.write(encoded)
            answers: dict[str, np.ndarray | None] = {SAVED_MODEL: server([encoded])}
            answers |= {variant: ask(image[np.newaxis]) for variant, ask in variants.items()}
            probabilities = {name: _rounded(answer[0]) for name, answer in answers.items() if answer is not None}
            entries.append({"file": png, "label": self._labels[label], "probabilities": probabilities})
        expected: dict[str, Any] = {"labels": self._labels, "runtime": runtime(), "images": entries}
        with tf.io.gfile.GFile(f"{self._folder}/{EXPECTED}", "w") as text:
            text.write(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


def _rounded(probabilities: np.ndarray) -> list[float]:
    # Nine significant digits identify a float32.
    return [float(f"{value:.9g}") for value in probabilities]
