"""EdgeExporter: its inputs, its cache key and its outputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfx import types
from tfx.types import standard_artifacts

from edgetune.components.common.artifacts import ConvertedModel
from edgetune.components.edge_exporter import EdgeExporter
from edgetune.components.edge_exporter.executor import Executor
from edgetune.modules.contracts.signatures import EDGE
from edgetune.modules.conversion import convert
from edgetune.modules.conversion.converter import Converter, OpsSet, Optimize
from edgetune.modules.core.code_digest import closure
from edgetune.modules.core.errors import ExportError
from edgetune.modules.core.package_paths import ROOT
from edgetune.modules.litert import inspection
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.modules.litert.metadata import METADATA
from edgetune.modules.settings.run import EdgeSettings
from edgetune.modules.storage.digests import file_digests
from tests.helpers import recorded_shards
from tests.tiny import edge
from tests.tiny import model as tiny_model


def component(**settings) -> EdgeExporter:
    return EdgeExporter(
        model=types.Channel(type=standard_artifacts.Model),
        transformed_examples=types.Channel(type=standard_artifacts.Examples),
        settings=EdgeSettings(**settings),
    )


def export(folder: Path, saved_model: str, **settings) -> ConvertedModel:
    model, examples, made = standard_artifacts.Model(), standard_artifacts.Examples(), ConvertedModel()
    model.uri, examples.uri, made.uri = (str(folder / name) for name in ("model", "examples", "made"))
    Path(model.uri).mkdir(parents=True)
    Path(model.uri, "Format-Serving").symlink_to(saved_model)
    tiny_model.write_transformed(Path(examples.uri), "train", tiny_model.examples(4))
    recorded_shards.stamp(examples)
    inputs = {"model": [model], "transformed_examples": [examples]}
    Executor().Do(inputs, {"converted_model": [made]}, dict(component(**settings).exec_properties))
    return made


def test_the_properties_are_typed_settings_and_the_digest_of_the_code():
    properties = component(variants=["int8", "float32"], author="me").exec_properties
    assert properties == {
        "variants": ["int8", "float32"],
        "representative_images": 100,
        "code_digest": properties["code_digest"],
        "library_versions": properties["library_versions"],
    }
    assert len(properties["code_digest"]) == 64


def test_changing_a_threshold_or_a_text_does_not_export_again():
    other = component(
        max_accuracy_drop=0.5, min_agreement=0.1, max_bytes=5, required=[], description="birds", license="MIT"
    )
    assert other.exec_properties == component().exec_properties


def test_the_output_is_no_edge_model_that_could_be_measured_and_pushed():
    assert component().outputs["converted_model"].type is ConvertedModel


def test_it_writes_every_variant_and_the_labels(tmp_path):
    made = export(tmp_path, edge.saved_model(), variants=["float32", "int8"])
    names = sorted(path.name for path in Path(made.uri).iterdir())
    assert names == ["labels.txt", "model_float32.tflite", "model_int8.tflite"]
    assert Path(made.uri, "labels.txt").read_text().splitlines() == list(tiny_model.LABELS)
    pixels, label = next(tiny_model.examples(1))
    for variant in ("float32", "int8"):
        content = Path(made.uri, f"model_{variant}.tflite").read_bytes()
        assert METADATA.encode() not in content, "EdgeDescriber writes it"
        assert tiny_model.LABELS[EdgeRunner(content).probabilities(pixels[None])[0].argmax()] == label
    assert made.get_string_custom_property("variants") == "float32, int8"
    assert json.loads(made.get_string_custom_property("files_sha256")) == file_digests(made.uri)
    assert len(made.get_string_custom_property("recipe_sha256")) == 64


def test_a_float_operation_left_in_int8_is_an_error_that_names_variant_and_operation(tmp_path, monkeypatch):
    fake = {"int8": edge.converted()["float32"]}
    monkeypatch.setattr("edgetune.components.edge_exporter.executor.convert", lambda *args: fake)
    with pytest.raises(ExportError, match=r"edge variant int8: .*first MUL \(operation 0, tensor"):
        export(tmp_path, edge.saved_model(), variants=["int8"], required=[])


def with_operation(function: Callable[[tf.Tensor], tf.Tensor], folder: Path) -> str:
    """Return a SavedModel with an additional operation between its convolution and its head."""
    image = keras.Input((32, 32, 3), name="image")
    features = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 127.5, -1.0)(image))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(function)(features))
    return tiny_model.save(keras.Model(image, keras.layers.Dense(3, activation="softmax")(pooled)), folder)


def converted(saved_model: str, *ops: OpsSet) -> bytes:
    """Convert the model with these sets of operations; calibrate if they are 8-bit."""
    converter = Converter.from_saved_model(saved_model, signature_keys=[EDGE])
    converter.target_spec.supported_ops = list(ops)
    if OpsSet.TFLITE_BUILTINS_INT8 in ops:
        images = [[image[np.newaxis].astype(np.float32)] for image in edge.representative()]
        converter.optimizations, converter.representative_dataset = [Optimize.DEFAULT], lambda: images
        converter.inference_input_type = tf.uint8
    return bytes(converter.convert())


def test_an_operation_without_an_8_bit_kernel_is_an_error_that_names_it(tmp_path):
    saved_model = with_operation(tf.sin, tmp_path / "sine")
    with pytest.raises(ExportError, match=r"edge variant int8: .*\bSIN\b"):
        export(tmp_path, saved_model, variants=["int8"], required=[])


def test_a_single_float_operation_left_between_integers_is_named(tmp_path, monkeypatch):
    saved_model = with_operation(tf.sin, tmp_path / "sine")
    left = converted(saved_model, OpsSet.TFLITE_BUILTINS_INT8, OpsSet.TFLITE_BUILTINS)
    assert {"SIN", "QUANTIZE", "DEQUANTIZE", "CONV_2D"} <= set(inspection.inspect(left).ops)
    monkeypatch.setattr("edgetune.components.edge_exporter.executor.convert", lambda *args: {"int8": left})
    with pytest.raises(
        ExportError, match=r"edge variant int8: .*floating point in 1 operations, first SIN \(operation"
    ):
        export(tmp_path, saved_model, variants=["int8"], required=[])
    assert not list(tmp_path.glob("made/*"))


def test_a_flex_operation_is_an_error_that_names_it_in_every_variant(tmp_path, monkeypatch):
    saved_model = with_operation(tf.math.erf, tmp_path / "flex")
    content = converted(saved_model, OpsSet.TFLITE_BUILTINS, OpsSet.SELECT_TF_OPS)
    for variant in edge.VARIANTS:
        monkeypatch.setattr("edgetune.components.edge_exporter.executor.convert", lambda *args, v=variant: {v: content})
        said = rf"edge variant {variant}: needs operations that are not built in: CUSTOM:FlexErf"
        with pytest.raises(ExportError, match=said):
            export(tmp_path / variant, saved_model, variants=[variant], required=[])


def test_labels_that_do_not_fit_the_model_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "edgetune.components.edge_exporter.executor.saved_model_reader.read_labels", lambda path: ["blue", "red"]
    )
    monkeypatch.setattr(convert, "_run", lambda *args: pytest.fail("must not be converted"))
    with pytest.raises(ExportError, match="2 labels for 3 outputs"):
        export(tmp_path, edge.saved_model(), variants=["float32"])


def test_the_code_digest_covers_the_converter():
    files = {str(path.relative_to(ROOT)) for path in closure((Executor.__module__,))}
    assert {"modules/conversion/convert.py", "modules/images/decode.py"} <= files
    assert "modules/litert/metadata.py" not in files, "a change of it would convert again"
