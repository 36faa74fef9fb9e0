"""What a client would believe of a file is read, and what it must not believe is said."""

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
    """A described file with other bytes in its metadata buffer."""
    content = described()
    model = inspection.parse(content)
    [entry] = [entry for entry in model.metadata if entry.name == b"TFLITE_METADATA"]
    written = bytes(model.buffers[entry.buffer].data)
    model.buffers[entry.buffer].data = np.frombuffer(change(written), np.uint8)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return metadata._with_labels(bytes(builder.Output()), tiny_model.LABELS)


def test_what_was_written_is_read_and_nothing_is_wrong_with_it():
    about = edge.ABOUT
    expected = Declared(about.name, about.description, about.author, about.license, (0.0,), (1.0,), "labels.txt")
    assert read_metadata(described()) == expected
    assert metadata_problems(described(), tiny_model.LABELS) == []


def test_what_was_not_said_is_not_there():
    declared = read_metadata(described(Description("näme", "")))
    assert (declared.name, declared.description, declared.author, declared.license) == ("näme", None, None, None)


def test_a_file_without_metadata_is_told():
    plain = edge.converted()["float32"]
    assert read_metadata(plain) is None
    assert metadata_problems(plain, tiny_model.LABELS) == ["has no metadata, so MediaPipe and ML Kit refuse it"]


def test_a_second_normalisation_is_told(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "MEAN", 127.5)
        patched.setattr(metadata, "STD", 127.0)
        content = described()
    assert metadata_problems(content, tiny_model.LABELS) == [
        "declares mean 127.5 and deviation 127 instead of 0 and 1: the model normalises its input itself, and "
        "clients would normalise it a second time"
    ]


def test_no_normalisation_at_all_is_told(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "NORMALIZATION", 3)  # the schema's union has a tokenizer there
        content = described()
    [problem] = metadata_problems(content, tiny_model.LABELS)
    assert problem.startswith("declares mean nothing and deviation nothing where 0 and 1 are right")


def test_class_names_that_are_not_declared_are_told(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "AXIS_LABELS", 1)  # only a description, for the schema
        content = described()
    assert metadata_problems(content, tiny_model.LABELS) == [
        "declares nothing as the file of its class names, not labels.txt"
    ]


def test_class_names_that_are_missing_or_others_are_told():
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
