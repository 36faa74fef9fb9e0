"""The answers to test images that a person wants to see: the most confident mistakes, and the least certain right ones.

EdgeEvaluator, which asks the SavedModel about every test image anyway, keeps them while it does so, and writes them as
`notable.json` beside its metrics: a list of

    kind       `MISTAKE` or `UNCERTAIN`
    file       of the image, relative to the data's folder
    label      its class name
    answers    the most probable classes, with their probabilities: `[[name, 0..1], ...]`
    jpeg       a thumbnail: JPEG in Base64; empty if there is none
    looked     the same of `occlusion.spotlight`, with the sides of the network's input; empty if there is none
"""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from edgetune.modules.evaluation.occlusion import Ask, sensitivity, spotlight
from edgetune.modules.examples.thumbnails import SIDE, thumbnail
from edgetune.modules.storage import filesystem

FILE = "notable.json"
MISTAKE, UNCERTAIN = "mistake", "uncertain"
MOST = 12
"""Number of answers of each kind."""
_NAMED = 3
"""Classes that are named for each answer."""
_SECONDS = 5.0
"""Time for all pictures of what answers depend on."""
_QUALITY = 75


@dataclass(frozen=True)
class _Answer:
    file: str
    label: str
    probabilities: np.ndarray
    encoded: bytes
    pixels: np.ndarray


class Notable:
    """Keeps the most confident mistakes and the least certain right answers of all that it is offered.

    Args:
        path: File or URL for `write`.
        labels: Class names in the order of the model's outputs.
        saliency: Number of mistakes for which `write` finds out what the answer depends on.
        seconds: Time for that; a mistake for which none is left has no such picture.
    """

    def __init__(self, path: str, labels: Sequence[str], saliency: int = 0, seconds: float = _SECONDS) -> None:
        self._path, self._labels, self._saliency, self._seconds = path, labels, saliency, seconds
        self._kept: dict[str, list[_Answer]] = {MISTAKE: [], UNCERTAIN: []}

    def offer(
        self,
        files: Sequence[str],
        encoded: Sequence[bytes],
        pixels: np.ndarray,
        truth: np.ndarray,
        probabilities: np.ndarray,
    ) -> None:
        """Keep what is notable of a batch of N answers, and of what was kept before.

        Args:
            files: Of the images.
            encoded: The images as raw examples have them.
            pixels: uint8 `[N, S, S, 3]`, as the network gets them.
            truth: int64 `[N]`, indices of classes.
            probabilities: float32 `[N, C]`.
        """
        for row, answer in enumerate(probabilities):
            kind = UNCERTAIN if answer.argmax() == truth[row] else MISTAKE
            label = self._labels[int(truth[row])]
            self._kept[kind].append(_Answer(files[row], label, answer, encoded[row], pixels[row]))
        self._kept[MISTAKE].sort(key=lambda one: (-one.probabilities.max(), one.file))
        self._kept[UNCERTAIN].sort(key=lambda one: (one.probabilities.max(), one.file))
        for kept in self._kept.values():
            del kept[MOST:]

    def write(self, ask: Ask) -> None:
        """Write `notable.json`, mistakes first.

        Args:
            ask: The SavedModel, for what its mistakes depend on.

        Raises:
            OSError: It cannot be written.
        """
        began, slowest = time.monotonic(), 0.0
        found = []
        for kind, kept in self._kept.items():
            for number, answer in enumerate(kept):
                looked = ""
                before = time.monotonic()
                # Not begun if it would end too late.
                if kind == MISTAKE and number < self._saliency and before - began + slowest < self._seconds:
                    looked = _jpeg(spotlight(answer.pixels, sensitivity(answer.pixels, ask)))
                    slowest = max(slowest, time.monotonic() - before)
                found.append(self._described(kind, answer, looked))
        filesystem.write(self._path, json.dumps(found, indent=1, ensure_ascii=False).encode(errors="backslashreplace"))

    def _described(self, kind: str, answer: _Answer, looked: str) -> dict[str, Any]:
        best = np.argsort(-answer.probabilities, kind="stable")[:_NAMED]
        return {
            "kind": kind,
            "file": answer.file,
            "label": answer.label,
            "answers": [[self._labels[int(index)], round(float(answer.probabilities[index]), 6)] for index in best],
            "jpeg": thumbnail(answer.encoded),
            "looked": looked,
        }


def _jpeg(image: Image.Image | None) -> str:
    if image is None:
        return ""
    buffer = io.BytesIO()
    image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
