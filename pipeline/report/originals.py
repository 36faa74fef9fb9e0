"""Thumbnails of files in the data's folder, which a run may have rejected or which may have changed since.

Pillow decodes them in a process that a damaged file may end (`modules.images.pillow_process`), without TensorFlow.
"""

from __future__ import annotations

import base64
import contextlib
import io
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from edgetune.components.common.names import IMAGE_EXAMPLE_GEN, REPORT_KEY, SOURCE_FILE
from edgetune.modules.core import bounds
from edgetune.modules.core.errors import EdgetuneError
from edgetune.modules.images.pillow_read import Unusable
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import RunSettings
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.safe_read import UnreadableFile, read_file
from edgetune.pipeline.metadata.outcome import Outcome
from edgetune.pipeline.report.artifacts import Absent, folder, read_json

SIDE = 96
"""Longer side of a thumbnail, in pixels."""
MOST_BYTES = 4_000
"""Of the JPEG of a thumbnail."""
SECONDS = 10.0
"""Time for all thumbnails of a report; the files after it have none."""
_LARGEST = 64 << 20
"""Bytes of a file that is read for a thumbnail."""
_QUALITIES = (75, 55, 35, 15)


@dataclass(frozen=True)
class Thumbnail:
    """A thumbnail, or the reason for none."""

    jpeg: str = ""
    """JPEG in Base64; empty if there is none."""
    why: str = ""
    """In a few words, if there is none."""


class Originals:
    """The files of a data set.

    Args:
        base: Folder or URL that the names of files are relative to; None if files are not there one by one.
        reading: Options for reading them.
        seconds: Time for all thumbnails.
        why: Why `base` is None, in a few words.
    """

    def __init__(
        self, base: str | None, reading: Reading, seconds: float = SECONDS, why: str = "no file of its own"
    ) -> None:
        self._base, self._reading, self._left, self._why = base, reading, seconds, why

    def thumbnail(self, file: str) -> Thumbnail:
        """Return the thumbnail of a file, upright."""
        from edgetune.modules.images import pillow_process

        if self._base is None:
            return Thumbnail(why=self._why)
        if self._left <= 0:
            return Thumbnail(why="left out to save time")
        began = time.monotonic()
        try:
            most = min(_LARGEST, bounds.max_file_bytes(self._reading.max_pixels))
            content = read_file(f"{self._base}/{file}", self._base, most)
            pixels = pillow_process.read(content, self._reading, lambda _: contextlib.nullcontext())
        except (UnreadableFile, Unusable) as error:
            return Thumbnail(why=str(error))
        except (EdgetuneError, RuntimeError, OSError, ValueError) as error:
            return Thumbnail(why=f"cannot be read ({type(error).__name__})")
        finally:
            self._left -= time.monotonic() - began
        return Thumbnail(encoded(pixels))


def originals_of(outcome: Outcome, settings: RunSettings | None) -> Originals:
    """Return the files that a run read; if it does not say where they were, those that the settings name."""
    try:
        source = read_json(f"{folder(outcome.node(IMAGE_EXAMPLE_GEN), REPORT_KEY, SOURCE_FILE)}/{SOURCE_FILE}")
        base, values = source["base"] if source["kind"] in ("images", "manifest") else None, source
    except (Absent, OSError, ValueError, KeyError):
        if settings is None:
            return Originals(None, Reading())
        data = settings.data.model_dump()
        base, values = str(settings.data.path), data
    if base is not None and not filesystem.is_folder(base):
        return Originals(None, Reading(), why="the folder of the data is gone")
    return Originals(base, _small(values))


def _small(values: dict[str, Any]) -> Reading:
    read = Reading.of(values)
    return Reading(read.max_pixels, SIDE, read.background)


def encoded(pixels: np.ndarray, most: int = MOST_BYTES) -> str:
    """Return pixels, uint8 `[H, W, 3]` of at most `SIDE`, as a JPEG of at most `most` bytes, in Base64."""
    image, content = Image.fromarray(pixels), b""
    while True:
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality, optimize=True)
            content = buffer.getvalue()
            if len(content) <= most:
                return base64.b64encode(content).decode()
        if max(image.size) < 2:
            return ""
        image = image.resize((max(image.width // 2, 1), max(image.height // 2, 1)), Image.Resampling.BOX)
