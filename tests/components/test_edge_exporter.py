"""EdgeExporter: what it takes, what re-runs it, and what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tfx import types
from tfx.types import standard_artifacts

from components.artifacts import EdgeModel
from components.edge_exporter import EdgeExporter
from components.edge_exporter.executor import Executor
from modules import tflite_convert
from modules.code_digest import ROOT, closure
from modules.edge_runtime import EdgeRunner
from modules.errors import ExportError
from modules.settings import EdgeSettings
from modules.tflite_metadata import has_metadata, read_labels
from tests import tiny_edge, tiny_model


def component(**settings) -> EdgeExporter:
    return EdgeExporter(
        model=types.Channel(type=standard_artifacts.Model),
        transformed_examples=types.Channel(type=standard_artifacts.Examples),
        settings=EdgeSettings(**settings),
    )


def export(folder: Path, saved_model: str, **settings) -> EdgeModel:
    model, examples, made = standard_artifacts.Model(), standard_artifacts.Examples(), EdgeModel()
    model.uri, examples.uri, made.uri = (str(folder / name) for name in ("model", "examples", "made"))
    Path(model.uri).mkdir()
    Path(model.uri, "Format-Serving").symlink_to(saved_model)
    tiny_model.write_transformed(Path(examples.uri), "train", tiny_model.examples(4))
    inputs = {"model": [model], "transformed_examples": [examples]}
    Executor().Do(inputs, {"edge_model": [made]}, dict(component(**settings).exec_properties))
    return made


def test_its_properties_are_typed_settings_and_the_digest_of_its_code():
    properties = component(variants=["int8", "float32"], author="me").exec_properties
    assert properties == {
        "variants": ["int8", "float32"],
        "representative_images": 100,
        "description": "Image classifier",
        "author": "me",
        "license": "",
        "code_digest": properties["code_digest"],
    }
    assert len(properties["code_digest"]) == 64


def test_changing_a_threshold_does_not_export_again():
    other = component(max_accuracy_drop=0.5, min_agreement=0.1, max_bytes=5, required=[])
    assert other.exec_properties == component().exec_properties


def test_it_puts_out_an_edge_model():
    assert component().outputs["edge_model"].type is EdgeModel


def test_it_writes_every_variant_with_labels_and_metadata(tmp_path):
    made = export(tmp_path, tiny_edge.saved_model(), variants=["float32", "int8"], license="Apache-2.0")
    names = sorted(path.name for path in Path(made.uri).iterdir())
    assert names == ["labels.txt", "model_float32.tflite", "model_int8.tflite"]
    assert Path(made.uri, "labels.txt").read_text().splitlines() == list(tiny_model.LABELS)
    pixels, label = next(tiny_model.examples(1))
    for variant in ("float32", "int8"):
        content = Path(made.uri, f"model_{variant}.tflite").read_bytes()
        assert has_metadata(content) and b"Apache-2.0" in content
        assert read_labels(content) == list(tiny_model.LABELS)
        assert tiny_model.LABELS[EdgeRunner(content).probabilities(pixels[None])[0].argmax()] == label
    assert made.get_string_custom_property("variants") == "float32, int8"


def test_a_float_operation_left_in_int8_is_an_error_that_names_variant_and_operation(tmp_path, monkeypatch):
    fake = {"int8": tiny_edge.converted()["float32"]}
    monkeypatch.setattr("components.edge_exporter.executor.convert", lambda *args: fake)
    with pytest.raises(ExportError, match=r"edge variant int8: .*first MUL \(operation 0, tensor"):
        export(tmp_path, tiny_edge.saved_model(), variants=["int8"], required=[])


def test_labels_that_do_not_fit_the_model_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("components.edge_exporter.executor.records.read_labels", lambda path: ["blue", "red"])
    monkeypatch.setattr(tflite_convert, "_run", lambda *args: pytest.fail("must not be converted"))
    with pytest.raises(ExportError, match="2 labels for 3 outputs"):
        export(tmp_path, tiny_edge.saved_model(), variants=["float32"])


def test_it_stands_on_the_converter_that_it_is_cached_by():
    files = {str(path.relative_to(ROOT)) for path in closure((Executor.__module__,))}
    assert {"modules/tflite_convert.py", "modules/tflite_metadata.py", "modules/images.py"} <= files
