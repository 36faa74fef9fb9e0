"""Conversion with the real converter."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.conversion import convert
from edgetune.modules.conversion.converter import Converter
from edgetune.modules.core import child_process, progress
from edgetune.modules.core.errors import ExportError
from edgetune.modules.litert import inspection
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.modules.serving import saved_model as saved_models
from edgetune.modules.storage.digests import folder_digest
from tests.tiny import edge, hard_swish, model

IMAGES = np.stack([pixels for pixels, _ in model.examples(5)])
TRUTH = np.array([model.LABELS.index(label) for _, label in model.examples(5)])


def served(saved_model: str) -> np.ndarray:
    signature = tf.saved_model.load(saved_model).signatures["serving_default"]
    return signature(image_bytes=tf.constant([model.png(image) for image in IMAGES]))["probabilities"].numpy()


@pytest.mark.parametrize("variant", edge.VARIANTS)
def test_every_variant_gives_the_servers_answers(variant):
    answers = EdgeRunner(edge.converted()[variant]).probabilities(IMAGES)
    expected = served(edge.saved_model())
    assert (expected.argmax(axis=1) == TRUTH).all()
    assert (answers.argmax(axis=1) == TRUTH).all()
    np.testing.assert_allclose(answers, expected, atol=1e-4 if variant == "float32" else 0.02)


def test_int8_takes_raw_bytes_and_is_quantized_per_channel():
    content = edge.converted()["int8"]
    facts = inspection.inspect(content)
    assert (facts.inputs[0].dtype, facts.inputs[0].scale, facts.inputs[0].zero_point) == ("uint8", 1.0, 0)
    assert (facts.outputs[0].dtype, facts.float_ops) == ("float32", ())
    graph = inspection.parse(content).subgraphs[0]
    kernels = [tensor for tensor in graph.tensors if inspection._tensor(tensor).shape == (3, 3, 3, 3)]
    assert [len(kernel.quantization.scale) for kernel in kernels] == [3]


def test_the_input_scale_of_int8_is_exact_even_if_all_images_are_dark():
    dark = np.full((2, 32, 32, 3), 7, np.uint8)
    # Convert in this process, which is a second faster; this model does not make the converter abort.
    facts = inspection.inspect(convert._convert_one(edge.saved_model(), "int8", dark))
    assert (facts.inputs[0].scale, facts.inputs[0].zero_point) == (1.0, 0)


def test_the_same_model_gives_the_same_bytes_and_each_variant_is_reported():
    reported: list[str] = []
    with progress.listening(reported.append):
        again = convert.convert(edge.saved_model(), edge.VARIANTS, edge.representative())
    assert again == edge.converted()
    assert reported == [f"converting to {variant}" for variant in edge.VARIANTS]


def test_the_model_is_read_once_and_variants_share_no_options(monkeypatch):
    read, times = Converter.from_saved_model, list[str]()
    counted = staticmethod(lambda path, **named: times.append(path) or read(path, **named))
    monkeypatch.setattr(Converter, "from_saved_model", counted)
    for cached in (convert._read, convert._float32):
        cached.cache_clear()
    saved_model, images = edge.saved_model(), edge.representative()
    # Without int8: the order of its sums is not fixed in this process.
    backwards = [name for name in reversed(edge.VARIANTS) if name != "int8"]
    made = {variant: convert._convert_one(saved_model, variant, images) for variant in backwards}
    assert times == [saved_model]
    assert made == {variant: edge.converted()[variant] for variant in backwards}


def test_int8_of_a_real_backbone_has_no_float_operations(tmp_path):
    saved = model.save_edge(model.mobilenet(), tmp_path / "mobilenet")
    content = convert.convert(saved, ["int8"], edge.representative())["int8"]
    facts = inspection.inspect(content)
    assert inspection.problems(facts, "int8", 32, 3) == []
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED", "SOFTMAX"} <= set(facts.ops)


def test_int8_with_hard_swish_and_squeeze_and_excite_has_no_float_operations_and_is_reproducible():
    images = hard_swish.images()
    first, second = (convert.convert(hard_swish.saved_model(), ["int8"], images)["int8"] for _ in range(2))
    assert first == second
    assert inspection.problems(inspection.inspect(first), "int8", 32, 3) == []
    expected = EdgeRunner(hard_swish.content()).probabilities(images)
    assert np.abs(EdgeRunner(first).probabilities(images) - expected).max() < 0.05


def test_channels_inactive_on_all_images_give_a_file_that_the_interpreter_accepts():
    # The converter's own calibration gives such a tensor an almost zero scale, and XNNPACK rejects the file.
    images = hard_swish.images()
    content = convert.convert(hard_swish.saved_model(silent=True), ["int8"], images)["int8"]
    expected = EdgeRunner(hard_swish.content(silent=True)).probabilities(images)
    assert np.abs(EdgeRunner(content).probabilities(images) - expected).max() < 0.05


def test_an_unsupported_operation_is_calibrated_by_the_converter_and_reported(tmp_path):
    image = keras.Input((32, 32, 3), name="image")
    features = keras.layers.LeakyReLU()(keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 127.5, -1.0)(image)))
    head = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(features))
    saved_model, reported = model.save_edge(keras.Model(image, head), tmp_path / "leaky"), list[str]()
    dark = np.full((2, 32, 32, 3), 7, np.uint8)
    with progress.listening(reported.append):
        content = convert.convert(saved_model, ["int8"], dark)["int8"]
    assert reported[1].endswith("int8, calibrated by the converter itself, because of operation LEAKY_RELU")
    facts = inspection.inspect(content)
    assert "LEAKY_RELU" in facts.ops and inspection.problems(facts, "int8", 32, 3) == []


def test_a_black_and_a_white_image_are_added_for_calibration(monkeypatch):
    seen = []
    monkeypatch.setattr(convert, "_int8", lambda content, images: seen.append(images) or b"")
    dark = np.full((2, 32, 32, 3), 7, np.uint8)
    convert._convert_one(edge.saved_model(), "int8", dark)
    assert [np.unique(image).tolist() for image in seen[0]] == [[0], [255], [7], [7]]


@pytest.mark.parametrize("variant", edge.VARIANTS)
def test_operations_that_are_not_built_in_are_rejected(tmp_path, variant):
    class Odd(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 32, 32, 3], tf.float32, name="image")])
        def edge(self, image):
            return {"probabilities": tf.reduce_mean(tf.math.erf(image), axis=(1, 2))}

    odd = Odd()
    tf.saved_model.save(odd, str(tmp_path / "odd"), signatures={"edge": odd.edge})
    with pytest.raises(Exception, match="Erf"):
        convert._convert_one(str(tmp_path / "odd"), variant, edge.representative())


def test_an_operation_that_litert_lacks_is_named_with_the_variant(tmp_path):
    class Odd(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 32, 32, 3], tf.float32, name="image")])
        def edge(self, image):
            return {"probabilities": tf.linalg.svd(image[..., 0], compute_uv=False)}

    odd = Odd()
    tf.saved_model.save(odd, str(tmp_path / "odd"), signatures={"edge": odd.edge})
    with pytest.raises(ExportError, match=r"edge variant float32: .*exit code 1") as caught:
        convert.convert(str(tmp_path / "odd"), ["float32"], edge.representative())
    assert "Svd" in caught.value.cause
    assert "edge.variants" in caught.value.remedy


def test_an_abort_of_the_converter_becomes_an_error(monkeypatch, tmp_path):
    script = (
        "import os, sys\n"
        "print('chatter of a library')\n"
        "print('edgetune: float32'); print('edgetune: int8', flush=True)\n"
        "sys.stderr.write('W0000 a warning\\nLLVM ERROR: Failed to infer result type(s).\\nstack dump:\\n')\n"
        "sys.stderr.flush(); os.abort()\n"
    )
    command = [sys.executable, "-c", script]
    monkeypatch.setattr(child_process, "start", lambda *arguments, **streams: subprocess.Popen(command, **streams))
    with pytest.raises(ExportError, match="edge variant int8: .*SIGABRT.*: LLVM ERROR: Failed to infer result"):
        convert.convert(str(tmp_path), ["float32", "int8"], edge.representative())


def test_the_last_word_is_the_exception_without_its_traceback():
    log = 'I am noise\nTraceback (most recent call last):\n  File "a.py", line 1\nValueError: no such thing\n\n'
    assert convert.last_word(log) == "ValueError: no such thing"
    assert convert.last_word("") == ""


def test_edge_shape_reads_size_and_classes_without_loading():
    assert saved_models.edge_shape(edge.saved_model()) == (32, 3)


def test_a_saved_model_without_the_edge_signature_is_rejected(tmp_path):
    module = tf.Module()
    module.serve = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"serving_default": module.serve})
    with pytest.raises(ExportError, match=r"has no signature 'edge' \(it has serving_default\)"):
        saved_models.edge_shape(str(tmp_path / "m"))
    with pytest.raises(ExportError, match="there is no SavedModel"):
        saved_models.edge_shape(str(tmp_path / "none"))


def test_the_digest_of_a_saved_model_depends_on_its_content(tmp_path):
    import shutil

    copy = shutil.copytree(edge.saved_model(), tmp_path / "copy")
    digest = folder_digest(str(copy))
    assert digest == folder_digest(edge.saved_model())
    (copy / "assets" / "labels.txt").write_text("red\n")
    assert folder_digest(str(copy)) != digest
