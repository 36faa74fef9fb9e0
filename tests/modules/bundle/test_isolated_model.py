"""A model in a child process answers like one in this process, and nothing that it does ends this process."""

from __future__ import annotations

import io
import os
import zipfile

import numpy as np
import pytest

from edgetune.modules.bundle.isolated_model import IsolatedModel
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.core import bounds
from edgetune.modules.core.errors import BundleError
from edgetune.modules.litert import metadata
from edgetune.modules.litert.interpreter import EdgeRunner
from tests.helpers.peak_memory import growth_of
from tests.tiny import edge, model

IMAGES = np.stack([pixels for pixels, _ in model.examples(2)])


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_it_answers_like_the_interpreter_in_this_process(variant):
    content = edge.converted()[variant]
    isolated = IsolatedModel(content, list(model.LABELS))
    assert isolated.labels == list(model.LABELS) and isolated.image_size == model.SIZE
    np.testing.assert_array_equal(isolated.probabilities(IMAGES), EdgeRunner(content).probabilities(IMAGES))
    np.testing.assert_array_equal(isolated.probabilities(IMAGES[:1]), isolated.probabilities(IMAGES)[:1])


def test_the_process_ends_with_the_object():
    isolated = IsolatedModel(edge.converted()["float32"], list(model.LABELS))
    process = isolated._child.process
    assert process.poll() is None
    del isolated
    assert process.poll() is not None


def test_a_model_that_aborts_the_interpreter_is_an_error():
    with pytest.raises(BundleError, match="the process that runs the model is stopped by SIGABRT"):
        IsolatedModel(edge.deadly(edge.converted()["int8"]), list(model.LABELS))


def test_a_process_that_is_killed_while_it_answers_is_an_error_and_so_is_every_later_question():
    isolated = IsolatedModel(edge.converted()["float32"], list(model.LABELS))
    os.kill(isolated._child.process.pid, 9)
    with pytest.raises(BundleError, match="is stopped by SIGKILL"):
        for _ in range(1000):  # the fork behind the process that was killed ends a moment later
            isolated.probabilities(IMAGES)
    with pytest.raises(BundleError, match="is stopped by SIGKILL"):
        isolated.probabilities(IMAGES)


def test_a_model_that_takes_too_long_is_stopped():
    with pytest.raises(BundleError, match=r"takes more than 0.001 seconds, and was stopped"):
        IsolatedModel(edge.converted()["float32"], list(model.LABELS), seconds=0.001)


@pytest.mark.parametrize("content", [b"", bytes(100), None], ids=["empty", "zeros", "cut"])
def test_what_is_no_model_is_an_error(content):
    with pytest.raises(BundleError) as caught:
        IsolatedModel(edge.converted()["float32"][:2000] if content is None else content, list(model.LABELS))
    assert caught.value.cause


def test_labels_are_needed():
    with pytest.raises(BundleError, match=r"has no labels inside, and there is no labels.txt beside it"):
        IsolatedModel(edge.converted()["float32"])


def test_labels_that_unpack_to_gigabytes_are_not_unpacked(monkeypatch):
    file = io.BytesIO(edge.converted()["float32"])
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(LABELS_FILE, "w") as names:
        for _ in range(bounds.MAX_TEXT // (1 << 20) + 1):
            names.write(b"a\n" * (1 << 19))
    assert len(file.getvalue()) < 200_000
    read: list[int] = []
    inner = zipfile.ZipExtFile.read

    def counting(self, n=-1):
        content = inner(self, n)
        read.append(len(content))
        return content

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counting)
    assert metadata.read_labels(file.getvalue()) is None
    assert sum(read) == bounds.MAX_TEXT + 1


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_labels_of_a_compression_that_unpacks_without_bounds_are_not_unpacked(packing):
    file = io.BytesIO(b"a model")
    with zipfile.ZipFile(file, "a", packing) as archive:
        archive.writestr(LABELS_FILE, b"a\n" * (12 << 20))
    assert len(file.getvalue()) < 100_000
    with growth_of() as growth:
        assert metadata.read_labels(file.getvalue()) is None
    assert growth.bytes < 8 << 20


def test_after_an_interrupted_question_no_answer_is_taken_for_another(monkeypatch):
    isolated = IsolatedModel(edge.converted()["float32"], list(model.LABELS))

    class Interrupted:
        def read(self, _: int) -> bytes:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(isolated._child.process, "stdout", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            isolated.probabilities(IMAGES[:1])
    with pytest.raises(BundleError, match="was stopped in the middle of an answer"):
        isolated.probabilities(IMAGES[1:2])
