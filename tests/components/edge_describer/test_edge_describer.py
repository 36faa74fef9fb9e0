"""EdgeDescriber: the texts inside each file, and that they change no answer."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tfx import types

from edgetune.components.common.artifacts import ConvertedModel, EdgeModel
from edgetune.components.edge_describer import EdgeDescriber
from edgetune.components.edge_describer.executor import Executor
from edgetune.modules.core.code_digest import closure
from edgetune.modules.core.errors import ExportError
from edgetune.modules.core.package_paths import ROOT
from edgetune.modules.litert.declared_metadata import metadata_problems
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.modules.litert.metadata import METADATA, read_labels
from edgetune.modules.settings.run import EdgeSettings
from tests.tiny import edge
from tests.tiny import model as tiny_model


def component(**settings) -> EdgeDescriber:
    return EdgeDescriber(types.Channel(type=ConvertedModel), EdgeSettings(**settings))


def record_files(converted: ConvertedModel) -> None:
    """Record the digests of the files, as EdgeExporter does."""
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(converted.uri).iterdir()}
    converted.set_string_custom_property("files_sha256", json.dumps(digests))


def describe(folder: Path, *variants: str, **settings) -> EdgeModel:
    converted, made = ConvertedModel(), EdgeModel()
    contents = {variant: edge.converted()[variant] for variant in variants}
    converted.uri = edge.write_edge_model(folder / "converted", contents, inside=None)
    converted.set_string_custom_property("variants", ", ".join(variants))
    record_files(converted)
    made.uri = str(folder / "made")
    Executor().Do({"converted_model": [converted]}, {"edge_model": [made]}, dict(component(**settings).exec_properties))
    return made


def test_the_properties_are_the_texts_and_the_range_and_nothing_else():
    properties = component(variants=["int8", "float32"], required=["int8"], author="me").exec_properties
    texts = {"description": "Image classifier", "author": "me", "license": "", "input_range": "raw"}
    assert properties == {**texts, **{key: properties[key] for key in ("code_digest", "library_versions")}}


def test_each_file_has_the_texts_and_the_class_names_and_answers_as_before(tmp_path):
    made = describe(tmp_path, "float32", "int8", description="Colours", author="Ada", license="Apache-2.0")
    names = sorted(path.name for path in Path(made.uri).iterdir())
    assert names == ["labels.txt", "model_float32.tflite", "model_int8.tflite"]
    assert Path(made.uri, "labels.txt").read_text().splitlines() == list(tiny_model.LABELS)
    assert made.get_string_custom_property("variants") == "float32, int8"
    assert len(made.get_string_custom_property("recipe_sha256")) == 64
    pixels = np.stack([pixels for pixels, _ in tiny_model.examples(2)])
    for variant in ("float32", "int8"):
        content = Path(made.uri, f"model_{variant}.tflite").read_bytes()
        assert all(text in content for text in (METADATA.encode(), b"Colours", b"Ada", b"Apache-2.0"))
        assert read_labels(content) == list(tiny_model.LABELS)
        before = EdgeRunner(edge.converted()[variant]).probabilities(pixels)
        assert (EdgeRunner(content).probabilities(pixels) == before).all()


def test_the_float_variants_take_the_range_that_is_set(tmp_path):
    made = describe(tmp_path, "float32", "int8", input_range="minus_one_one")
    pixels = np.stack([pixels for pixels, _ in tiny_model.examples(2)])
    for variant, mean in (("float32", 127.5), ("int8", 0)):
        content = Path(made.uri, f"model_{variant}.tflite").read_bytes()
        assert metadata_problems(content, tiny_model.LABELS, (mean, mean or 1)) == []
        runner, before = EdgeRunner(content), EdgeRunner(edge.converted()[variant])
        assert runner.values(pixels) == pytest.approx((pixels - mean) / (mean or 1), abs=1e-6)
        assert runner.probabilities(pixels) == pytest.approx(before.probabilities(pixels), abs=1e-4)


def test_a_file_that_is_gone_is_an_error_that_names_it_and_leads_on(tmp_path, monkeypatch):
    kept = edge.write_edge_model

    def incomplete(folder: Path, contents, **more) -> str:
        written = kept(folder, contents, **more)
        Path(folder, "model_float32.tflite").unlink()
        return written

    monkeypatch.setattr(edge, "write_edge_model", incomplete)
    with pytest.raises(ExportError, match="converted/model_float32.tflite: ") as caught:
        describe(tmp_path, "float32")
    assert "--no-cache" in caught.value.remedy


@pytest.mark.parametrize("name", ["model_float32.tflite", "labels.txt"])
def test_a_file_that_the_exporter_did_not_write_is_neither_described_nor_measured(tmp_path, monkeypatch, name):
    record = record_files

    def flip_a_bit(converted: ConvertedModel) -> None:
        record(converted)
        path = Path(converted.uri, name)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    monkeypatch.setattr(sys.modules[__name__], "record_files", flip_a_bit)
    with pytest.raises(ExportError, match=f"converted/{name}: is not the file that EdgeExporter wrote") as caught:
        describe(tmp_path, "float32")
    assert "run EdgeExporter and all that follows again" in caught.value.remedy
    assert not list(tmp_path.glob("made/*"))


def test_files_without_a_record_of_what_was_written_are_not_described(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "record_files", lambda converted: None)
    with pytest.raises(ExportError, match="is not the file that EdgeExporter wrote"):
        describe(tmp_path, "float32")


def test_the_key_has_the_libraries_that_write_the_bytes():
    """With another version of any of them, the files are others."""
    assert set(json.loads(component().exec_properties["library_versions"])) == {
        "ai-edge-litert",
        "flatbuffers",
        "numpy",
    }


def test_the_code_digest_leaves_out_the_converter():
    files = {str(path.relative_to(ROOT)) for path in closure((Executor.__module__,))}
    assert "modules/litert/metadata.py" in files and not [name for name in files if "conversion" in name]
