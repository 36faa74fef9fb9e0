"""Metadata is read as clients read it, and misleading metadata is reported."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest

from edgetune.modules.core.errors import ExportError
from edgetune.modules.litert import inspection, metadata
from edgetune.modules.litert.declared_metadata import Declared, metadata_problems, read_metadata
from edgetune.modules.litert.metadata import Description, add_metadata
from tests.tiny import edge
from tests.tiny import model as tiny_model


def described(about: Description = edge.ABOUT, labels=tiny_model.LABELS) -> bytes:
    return add_metadata(edge.converted()["float32"], labels, about)


def with_metadata(change) -> bytes:
    """Return a model file with other bytes in its metadata buffer."""
    content = described()
    model = inspection.parse(content)
    [entry] = [entry for entry in model.metadata if entry.name == b"TFLITE_METADATA"]
    written = bytes(model.buffers[entry.buffer].data)
    model.buffers[entry.buffer].data = np.frombuffer(change(written), np.uint8)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return metadata._with_labels(bytes(builder.Output()), tiny_model.LABELS)


def test_written_metadata_is_read_back_without_problems():
    about = edge.ABOUT
    expected = Declared(about.name, about.description, about.author, about.license, (0.0,), (1.0,), "labels.txt")
    assert read_metadata(described()) == expected
    assert metadata_problems(described(), tiny_model.LABELS) == []


def test_texts_that_were_not_given_are_absent():
    declared = read_metadata(described(Description("näme", "")))
    assert (declared.name, declared.description, declared.author, declared.license) == ("näme", None, None, None)


def test_missing_metadata_is_reported():
    plain = edge.converted()["float32"]
    assert read_metadata(plain) is None
    assert metadata_problems(plain, tiny_model.LABELS) == ["has no metadata, so MediaPipe and ML Kit refuse it"]


def test_a_second_normalisation_is_reported(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "MEAN", 127.5)
        patched.setattr(metadata, "STD", 127.0)
        content = described()
    assert metadata_problems(content, tiny_model.LABELS) == [
        "declares mean 127.5 and deviation 127 instead of 0 and 1: the model normalises its input itself, and "
        "clients would normalise it a second time"
    ]


def test_an_undeclared_normalisation_is_reported(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "NORMALIZATION", 3)  # a tokenizer, in the schema's union
        content = described()
    [problem] = metadata_problems(content, tiny_model.LABELS)
    assert problem.startswith("declares mean nothing and deviation nothing instead of 0 and 1")


def test_undeclared_class_names_are_reported(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "AXIS_LABELS", 1)  # a mere description, in the schema
        content = described()
    assert metadata_problems(content, tiny_model.LABELS) == [
        "declares nothing as the file of its class names, not labels.txt"
    ]


def test_missing_and_different_class_names_are_reported():
    content = described()
    cut = content[: content.rindex(b"PK\x03\x04")]
    missing = "has no labels.txt inside, so MediaPipe and ML Kit cannot name the classes"
    assert metadata_problems(cut, tiny_model.LABELS) == [missing]
    other = "labels.txt inside the file differs from the SavedModel's"
    assert metadata_problems(content, ["blue", "green"]) == [other]
    assert metadata_problems(content, ["blue", "red", "green"]) == [other]


@pytest.mark.parametrize(
    "change",
    [
        lambda written: b"\0" * len(written),
        lambda written: written[:20],
        lambda written: b"",
        lambda written: b"\xff\xff\xff\x7f" + written[4:],
    ],
)
def test_damaged_metadata_is_an_error(change):
    with pytest.raises(ExportError, match="has metadata that cannot be read"):
        read_metadata(with_metadata(change))
    assert read_metadata(with_metadata(lambda written: written)) == read_metadata(described())
