"""Change a LiteRT file: read it as the schema's object tree, and write the tree again."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

from edgetune.modules.litert.inspection import IDENTIFIER, parse

_ALIGNMENT = 16  # of buffers: the schema requires it, but the Python writer does not provide it
_INITIAL_BYTES = 1 << 20  # of the writer's memory, which it doubles as often as necessary


def editable(content: bytes) -> Any:
    """Return a file as the schema's object tree, `ModelT`, for `pack`.

    Buffers stored behind the flatbuffer are moved inside; otherwise they would be lost or misplaced.

    Raises:
        ExportError: This is not a LiteRT model.
    """
    model = parse(content)
    for buffer in model.buffers:
        if buffer.offset > 1 and buffer.size:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0
    return model


def pack(model: Any) -> bytes:
    """Return an object tree as a file; the same tree gives the same bytes."""
    builder = _Builder(_INITIAL_BYTES)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


class _Builder(flatbuffers.Builder):
    """Flatbuffer builder that aligns byte vectors and writes equal vectors of other types only once.

    The LiteRT schema requires the alignment, as kernels may load weights sixteen bytes at a time. In an 8-bit model,
    every channel of every kernel and bias has a zero point of eight bytes; all are zero, a tenth of the file.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        if x.dtype != np.uint8:
            content = x.dtype.str, x.tobytes()
            if content not in self._written:
                self._written[content] = int(super().CreateNumpyVector(x))
            return self._written[content]
        self.StartVector(1, x.size, _ALIGNMENT)
        self.head = self.Head() - x.size
        self.Bytes[self.Head() : self.Head() + x.size] = x.tobytes()
        self.vectorNumElems = x.size
        return int(self.EndVector())
