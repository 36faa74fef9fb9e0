"""Adding metadata does not change the model. That MediaPipe reads it is tested with MediaPipe in tests/clients."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgetune.modules.core.errors import ExportError
from edgetune.modules.litert import inspection
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.modules.litert.metadata import METADATA, add_metadata, read_labels
from tests.tiny import edge
from tests.tiny import model as tiny_model

IMAGES = np.stack([pixels for pixels, _ in tiny_model.examples(2)])


def described(content: bytes) -> bytes:
    return add_metadata(content, tiny_model.LABELS, edge.ABOUT)


def metadata_of(content: bytes) -> bytes:
    model = inspection.parse(content)
    [entry] = [entry for entry in model.metadata if entry.name == METADATA.encode()]
    return bytes(model.buffers[entry.buffer].data)


@pytest.mark.parametrize("variant", edge.VARIANTS)
def test_metadata_does_not_change_what_the_model_computes(variant):
    plain = edge.converted()[variant]
    full = described(plain)
    assert inspection.inspect(full) == inspection.inspect(plain)
    np.testing.assert_array_equal(EdgeRunner(full).probabilities(IMAGES), EdgeRunner(plain).probabilities(IMAGES))


def test_labels_are_read_back_in_order():
    full = add_metadata(edge.converted()["float32"], ["bleu", "grün", "赤"], edge.ABOUT)
    assert read_labels(full) == ["bleu", "grün", "赤"]


def test_a_converted_model_has_neither_labels_nor_metadata():
    plain = edge.converted()["float32"]
    assert read_labels(plain) is None
    assert METADATA.encode() not in plain
    assert METADATA.encode() in described(plain)


def test_the_descriptive_texts_are_in_the_metadata():
    written = metadata_of(described(edge.converted()["int8"]))
    assert written[4:8] == b"M001"
    table = flatbuffers.table.Table(written, flatbuffers.encode.Get(flatbuffers.packer.uoffset, written, 0))
    texts = {field: table.String(table.Offset(4 + 2 * field) + table.Pos).decode() for field in (0, 1, 4, 5)}
    about = edge.ABOUT
    assert texts == {0: about.name, 1: about.description, 4: about.author, 5: about.license}


def test_adding_metadata_is_reproducible_and_idempotent():
    once = described(edge.converted()["float16"])
    assert described(edge.converted()["float16"]) == once
    assert described(once) == once


def test_buffers_stay_aligned_for_the_kernels():
    full = described(edge.converted()["float32"])
    model = schema.Model.GetRootAs(full, 0)
    buffers = [model.Buffers(index) for index in range(model.BuffersLength())]
    starts = [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if buffer.DataLength()]
    assert len(starts) > 3
    assert {start % 16 for start in starts} == {0}


def test_equal_zero_points_are_stored_once():
    content = edge.converted()["int8"]
    before, after = zero_points(content), zero_points(described(content))
    assert {values: len(offsets) for values, offsets in after.items()} == dict.fromkeys(before, 1)
    assert max(len(offsets) for offsets in before.values()) > 1


def zero_points(content: bytes) -> dict[bytes, set[int]]:
    """Return the offsets in a file of each vector of zero points, by its content."""
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    offsets: dict[bytes, set[int]] = {}
    for index in range(graph.TensorsLength()):
        quantization = graph.Tensors(index).Quantization()
        if quantization is not None and quantization.ZeroPointLength():
            table = quantization._tab
            values = quantization.ZeroPointAsNumpy().tobytes()
            offsets.setdefault(values, set()).add(table.Vector(table.Offset(10)))
    return offsets


def test_buffers_behind_the_flatbuffer_are_moved_inside():
    plain = edge.converted()["float32"]
    model = inspection.parse(plain)
    largest = max((b for b in model.buffers if b.data is not None), key=lambda buffer: len(buffer.data))
    weights, largest.data = bytes(largest.data), None
    sizes = []
    for offset in (1 << 20, None):  # the first pass finds the length of the flatbuffer with both numbers in it
        largest.offset, largest.size = offset or sizes[-1], len(weights)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        sizes.append(len(builder.Output()))
    outside = bytes(builder.Output()) + weights
    full = described(outside)
    assert all(buffer.offset == 0 for buffer in inspection.parse(full).buffers)
    np.testing.assert_array_equal(EdgeRunner(full).probabilities(IMAGES), EdgeRunner(plain).probabilities(IMAGES))


@pytest.mark.parametrize("label", ["", "two\nlines"])
def test_a_class_name_that_is_not_one_line_is_rejected(label):
    with pytest.raises(ExportError, match="is not one line of text"):
        add_metadata(edge.converted()["float32"], ["blue", label, "red"], edge.ABOUT)
