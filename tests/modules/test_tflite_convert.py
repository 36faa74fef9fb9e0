"""Conversion, in the real converter."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf

from modules import progress, saved_models, tflite_convert, tflite_inspect
from modules.edge_runtime import EdgeRunner
from modules.errors import ExportError
from tests import tiny_edge, tiny_model

IMAGES = np.stack([pixels for pixels, _ in tiny_model.examples(5)])
TRUTH = np.array([tiny_model.LABELS.index(label) for _, label in tiny_model.examples(5)])


def served(saved_model: str) -> np.ndarray:
    signature = tf.saved_model.load(saved_model).signatures["serving_default"]
    return signature(image_bytes=tf.constant([tiny_model.png(image) for image in IMAGES]))["probabilities"].numpy()


@pytest.mark.parametrize("variant", tiny_edge.VARIANTS)
def test_every_variant_answers_as_the_server_does(variant):
    answers = EdgeRunner(tiny_edge.converted()[variant]).probabilities(IMAGES)
    expected = served(tiny_edge.saved_model())
    assert (expected.argmax(axis=1) == TRUTH).all()
    assert (answers.argmax(axis=1) == TRUTH).all()
    np.testing.assert_allclose(answers, expected, atol=1e-4 if variant == "float32" else 0.02)


def test_int8_takes_raw_bytes_and_is_quantized_per_channel():
    content = tiny_edge.converted()["int8"]
    facts = tflite_inspect.inspect(content)
    assert (facts.inputs[0].dtype, facts.inputs[0].scale, facts.inputs[0].zero_point) == ("uint8", 1.0, 0)
    assert (facts.outputs[0].dtype, facts.float_ops) == ("float32", ())
    graph = tflite_inspect.parse(content).subgraphs[0]
    kernels = [tensor for tensor in graph.tensors if tflite_inspect._tensor(tensor).shape == (3, 3, 3, 3)]
    assert [len(kernel.quantization.scale) for kernel in kernels] == [3]


def test_the_input_of_int8_is_exact_even_where_all_images_are_dark():
    dark = np.full((2, 32, 32, 3), 7, np.uint8)
    # In this process, where an abort would not be caught: it is a second faster, and this model does not abort.
    facts = tflite_inspect.inspect(tflite_convert._convert_one(tiny_edge.saved_model(), "int8", dark))
    assert (facts.inputs[0].scale, facts.inputs[0].zero_point) == (1.0, 0)


def test_the_same_model_gives_the_same_bytes_and_each_variant_is_reported():
    said: list[str] = []
    with progress.listening(said.append):
        again = tflite_convert.convert(tiny_edge.saved_model(), ["float32", "int8"], tiny_edge.representative())
    assert again == {variant: tiny_edge.converted()[variant] for variant in ("float32", "int8")}
    assert said == ["converting to float32", "converting to int8"]


def test_a_real_backbone_becomes_int8_without_floats_within(tmp_path):
    saved = tiny_model.save(tiny_model.mobilenet(), tmp_path / "mobilenet")
    content = tflite_convert.convert(saved, ["int8"], tiny_edge.representative())["int8"]
    facts = tflite_inspect.inspect(content)
    assert tflite_inspect.problems(facts, "int8", 32, 3) == []
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED", "SOFTMAX"} <= set(facts.ops)


def test_an_operation_that_litert_lacks_is_an_error_that_names_variant_and_operation(tmp_path):
    class Odd(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 32, 32, 3], tf.float32, name="image")])
        def edge(self, image):
            return {"probabilities": tf.linalg.svd(image[..., 0], compute_uv=False)}

    odd = Odd()
    tf.saved_model.save(odd, str(tmp_path / "odd"), signatures={"edge": odd.edge})
    with pytest.raises(ExportError, match=r"edge variant float32: .*exit code 1") as caught:
        tflite_convert.convert(str(tmp_path / "odd"), ["float32"], tiny_edge.representative())
    assert "Svd" in caught.value.cause
    assert "edge.variants" in caught.value.remedy


def test_a_converter_that_aborts_is_an_error_and_not_the_end_of_the_run(monkeypatch, tmp_path):
    script = (
        "import os, sys\n"
        "print('chatter of a library')\n"
        "print('edgetune: float32'); print('edgetune: int8', flush=True)\n"
        "sys.stderr.write('W0000 a warning\\nLLVM ERROR: Failed to infer result type(s).\\nstack dump:\\n')\n"
        "sys.stderr.flush(); os.abort()\n"
    )
    monkeypatch.setattr(tflite_convert, "_COMMAND", (sys.executable, "-c", script))
    with pytest.raises(ExportError, match="edge variant int8: .*SIGABRT.*: LLVM ERROR: Failed to infer result"):
        tflite_convert.convert(str(tmp_path), ["float32", "int8"], tiny_edge.representative())


def test_the_last_word_is_the_exception_and_not_its_traceback():
    log = 'I am noise\nTraceback (most recent call last):\n  File "a.py", line 1\nValueError: no such thing\n\n'
    assert tflite_convert.last_word(log) == "ValueError: no such thing"
    assert tflite_convert.last_word("") == ""


def test_edge_shape_reads_size_and_classes_without_loading():
    assert saved_models.edge_shape(tiny_edge.saved_model()) == (32, 3)


def test_a_saved_model_without_the_edge_signature_is_refused(tmp_path):
    module = tf.Module()
    module.serve = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"serving_default": module.serve})
    with pytest.raises(ExportError, match=r"has no signature 'edge' \(it has serving_default\)"):
        saved_models.edge_shape(str(tmp_path / "m"))
    with pytest.raises(ExportError, match="there is no SavedModel"):
        saved_models.edge_shape(str(tmp_path / "none"))


def test_the_digest_of_a_saved_model_is_of_its_content(tmp_path):
    import shutil

    copy = shutil.copytree(tiny_edge.saved_model(), tmp_path / "copy")
    digest = saved_models.digest(str(copy))
    assert digest == saved_models.digest(tiny_edge.saved_model())
    (copy / "assets" / "labels.txt").write_text("red\n")
    assert saved_models.digest(str(copy)) != digest
