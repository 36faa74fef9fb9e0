"""What the function costs that every exported graph has, and what becomes of files on which it fails."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.images import graph_read
from edgetune.modules.images.reader import Unusable, read_image
from tests.helpers.camera_files import DAMAGED_PROFILE, READING, WITHOUT_THE_LAST_BYTES, alpha, encoded, pixels


def test_the_graph_is_small():
    """Tracing, loading and optimizing it take time in proportion (benchmarks/serving/reading.py)."""
    graph = graph_read._function().graph.as_graph_def()
    nodes = len(graph.node) + sum(len(function.node_def) for function in graph.library.function)
    assert nodes < 1300 and len(graph.library.function) < 50


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_file_that_only_pillow_reads_is_damaged_for_the_graph_and_stored_as_png(kind):
    content = WITHOUT_THE_LAST_BYTES[kind]
    fault, found = graph_read.attempt(content, READING)
    assert fault == "cannot be decoded: its data is damaged or cut off" and found.size == 0
    stored = read_image(content, READING).encoded
    fault, found = graph_read.attempt(stored, READING)
    assert not fault and stored.startswith(b"\x89PNG")
    np.testing.assert_allclose(found, pixels(), atol=0 if kind == "PNG" else 16)


def test_a_png_with_a_damaged_packed_profile_is_refused_and_stored_without_the_profile():
    with pytest.raises(tf.errors.DataLossError):
        graph_read.read(tf.constant(DAMAGED_PROFILE), READING)
    assert graph_read.attempt(DAMAGED_PROFILE, READING)[0] == (
        "has a damaged color profile: send it with an sRGB profile or none"
    )
    stored = read_image(DAMAGED_PROFILE, READING).encoded
    np.testing.assert_array_equal(graph_read.attempt(stored, READING)[1], pixels())


def test_ingest_does_not_hide_that_the_graph_fails_on_a_sound_file(monkeypatch):
    def fails(*_: object) -> None:
        raise tf.errors.InvalidArgumentError(None, None, "Input to reshape is a tensor with 22500 values")

    monkeypatch.setattr(graph_read, "read_by_graph", fails)
    content = encoded(alpha("RGBA"), "PNG")
    with pytest.raises(tf.errors.InvalidArgumentError, match="Input to reshape"):
        graph_read.attempt(content, READING)
    with pytest.raises(Unusable, match="the exported graph fails on it, though TensorFlow decodes it: a bug"):
        read_image(content, READING)
