"""A variant whose answers differ from the server model's is refused, whatever the reason."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.bundle.golden import Golden
from edgetune.modules.conversion.converter import Converter
from edgetune.modules.core.errors import DataError, ExportError
from edgetune.modules.evaluation.edge import BATCH, evaluate
from edgetune.modules.evaluation.verdict import Thresholds
from edgetune.modules.examples.calibration_images import choose, representative_images
from edgetune.modules.litert.crash_probe import crash_reason
from edgetune.modules.litert.interpreter import EdgeRunner, Latency
from edgetune.modules.litert.metadata import add_metadata
from tests.helpers import recorded_shards
from tests.tiny import edge, model

FLOAT32 = Thresholds(required=("float32",))


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return edge.write_test_images(tmp_path_factory.mktemp("examples"))


def judged(folder, examples, contents=None, thresholds=FLOAT32, **labels):
    edge_model = edge.write_edge_model(folder, contents, **labels)
    return evaluate(edge.saved_model(), edge_model, examples, thresholds)


def one(variant="float32"):
    return {variant: edge.converted()[variant]}


def test_faithful_variants_are_blessed_and_measured(tmp_path, examples):
    golden = Golden(str(tmp_path / "golden"), model.LABELS)
    edge_model = edge.write_edge_model(tmp_path / "edge")
    everything = Thresholds(required=edge.VARIANTS)
    metrics = evaluate(edge.saved_model(), edge_model, examples, everything, golden)
    assert (metrics["blessed"], metrics["reasons"]) == (True, [])
    assert metrics["test"]["images"] == 12
    assert metrics["saved_model"]["accuracy"] == 1.0
    assert list(metrics["variants"]) == ["float32", "float16", "int8", "dynamic"]
    for facts in metrics["variants"].values():
        assert (facts["blessed"], facts["reasons"]) == (True, [])
        assert (facts["accuracy"], facts["agreement"]) == (1.0, 1.0)
        gates = {gate["name"]: (gate["measured"], gate["images"], gate["passed"]) for gate in facts["gates"]}
        assert gates == {
            "edge.max_accuracy_drop": (0.0, 12, True),
            "edge.min_agreement": (1.0, 12, True),
            "edge.max_class_drop": (0.0, 4, True),
        }
        assert facts["per_class"] == {label: {"accuracy": 1.0, "examples": 4} for label in model.LABELS}
        assert 0 < facts["latency"]["p50_ms"] <= facts["latency"]["p95_ms"]
        assert facts["latency"]["cpu"] and facts["latency"]["threads"] == 1 and facts["latency"]["runs"] == 50
        assert facts["ops"]["CONV_2D"]["version"] >= 1 and facts["ops"]["CONV_2D"]["count"] >= 1
    safe = {name: facts["arithmetic"]["half_precision"] for name, facts in metrics["variants"].items()}
    assert safe.pop("int8") is None and all(half["safe"] for half in safe.values())
    assert metrics["variants"]["float32"]["max_difference"] < 1e-4
    assert json.loads(json.dumps(metrics)) == metrics

    expected = json.loads((tmp_path / "golden" / "expected.json").read_text())
    assert [image["label"] for image in expected["images"]] == list(model.LABELS)
    runner = EdgeRunner((tmp_path / "edge" / "model_int8.tflite").read_bytes())
    for image in expected["images"]:
        pixels = tf.io.decode_png((tmp_path / "golden" / image["file"]).read_bytes()).numpy()
        assert pixels.shape == (32, 32, 3)
        assert set(image["probabilities"]) == {"saved_model", *edge.VARIANTS}
        np.testing.assert_allclose(runner.probabilities(pixels[None])[0], image["probabilities"]["int8"], atol=0.005)


def test_swapped_labels_inside_the_file_are_refused_with_figures(tmp_path, examples):
    metrics = judged(tmp_path, examples, one(), inside=("blue", "red", "green"))
    facts = metrics["variants"]["float32"]
    assert not metrics["blessed"] and not facts["blessed"]
    assert "labels.txt inside the file differs from the SavedModel's" in facts["reasons"]
    assert facts["accuracy"] == pytest.approx(1 / 3)
    dropped, disagreed, lost = facts["reasons"][1:]
    assert dropped.startswith("accuracy lost against the SavedModel 66.7 % (95 % interval ")
    assert dropped.endswith("on 12 images; edge.max_accuracy_drop allows at most 1 %")
    assert disagreed.startswith("agreement with the SavedModel 33.3 % (95 % interval 13.8 to 60.9) on 12 images")
    assert disagreed.endswith("edge.min_agreement needs 97 %")
    assert lost.endswith("lost: green (0 of 4 right answers left), red (0 of 4 right answers left)")
    assert metrics["reasons"][0].startswith("required edge variant float32: ")


def test_swapped_labels_beside_the_file_are_refused(tmp_path, examples):
    metrics = judged(tmp_path, examples, one(), beside=("red", "green", "blue"))
    assert not metrics["blessed"]
    assert "beside the model differs from the SavedModel's" in metrics["reasons"][0]


def test_an_extra_label_is_refused(tmp_path, examples):
    metrics = judged(tmp_path, examples, one(), inside=(*model.LABELS, "yellow"))
    assert metrics["variants"]["float32"]["reasons"] == ["labels.txt inside the file differs from the SavedModel's"]


def test_a_model_that_lost_its_normalisation_is_refused(tmp_path, examples):
    metrics = judged(tmp_path, examples, {"float32": edge.not_normalised()})
    assert not metrics["blessed"]
    assert "edge.max_accuracy_drop allows at most 1 %" in metrics["reasons"][0]


def test_a_broken_quantization_is_refused(tmp_path, examples):
    broken = {"int8": edge.with_a_lost_channel(edge.converted()["int8"])}
    metrics = judged(tmp_path, examples, broken, Thresholds(required=("int8",)))
    assert not metrics["blessed"]
    [accuracy, agreement, classes] = metrics["variants"]["int8"]["reasons"]  # the file itself has no problems
    assert "edge.max_accuracy_drop" in accuracy and "edge.min_agreement" in agreement
    assert "edge.max_class_drop" in classes and classes.endswith("lost: blue (0 of 4 right answers left)")


def test_a_model_that_crashes_the_interpreter_is_refused_and_the_others_are_measured(tmp_path, examples):
    assert crash_reason(edge.converted()["int8"], BATCH) is None
    contents = {**one(), "int8": edge.deadly(edge.converted()["int8"])}
    variants = judged(tmp_path, examples, contents)["variants"]
    assert "the LiteRT interpreter ends the process that runs it (SIGABRT)" in variants["int8"]["reasons"]
    assert not variants["int8"]["blessed"] and variants["int8"]["latency"] is None
    assert variants["float32"]["blessed"] and variants["float32"]["accuracy"] == 1.0


def test_a_file_without_metadata_is_refused(tmp_path, examples):
    metrics = judged(tmp_path, examples, one(), inside=None)
    assert metrics["variants"]["float32"]["reasons"] == ["has no metadata, so MediaPipe and ML Kit refuse it"]
    assert not metrics["blessed"]


def test_a_damaged_file_is_refused_and_the_others_are_measured(tmp_path, examples):
    edge_model = edge.write_edge_model(tmp_path, {**one("float32"), **one("int8")})
    (tmp_path / "model_int8.tflite").write_bytes(b"no model at all")
    metrics = evaluate(edge.saved_model(), edge_model, examples, FLOAT32)
    assert metrics["blessed"] and metrics["variants"]["float32"]["blessed"]
    assert not metrics["variants"]["int8"]["blessed"]
    assert "this is not a LiteRT model" in metrics["variants"]["int8"]["reasons"][0]
    assert metrics["variants"]["int8"]["accuracy"] is None


def test_a_float_file_named_int8_is_refused_although_its_answers_are_right(tmp_path, examples):
    metrics = judged(tmp_path, examples, {"int8": edge.converted()["float32"]}, Thresholds(required=("int8",)))
    assert metrics["variants"]["int8"]["accuracy"] == 1.0
    assert "input is float32" in metrics["reasons"][0]


def test_without_test_images_nothing_is_blessed(tmp_path):
    (tmp_path / "none").mkdir()
    recorded_shards.record(tmp_path / "none")
    metrics = judged(tmp_path / "edge", str(tmp_path / "none"), one())
    assert not metrics["blessed"] and not metrics["variants"]["float32"]["blessed"]
    assert metrics["reasons"] == ["nothing was measured: the test split has no images"]


def test_nothing_is_blessed_if_a_required_variant_was_not_exported(tmp_path, examples):
    metrics = judged(tmp_path, examples, one(), Thresholds(required=("float32", "int8")))
    assert metrics["variants"]["float32"]["blessed"]
    assert metrics["reasons"] == ["required edge variant int8: was not exported"]
    assert not metrics["blessed"]


def test_a_file_that_is_too_large_is_refused(tmp_path, examples):
    metrics = judged(tmp_path, examples, one(), Thresholds(max_bytes=3000))
    size = metrics["variants"]["float32"]["bytes"]
    assert metrics["reasons"] == [
        f"required edge variant float32: size in bytes {size:,}; edge.max_bytes allows at most 3,000"
    ]


def test_a_variant_that_is_too_slow_is_refused(tmp_path, examples):
    metrics = judged(tmp_path, examples, one(), Thresholds(max_latency_ms=1e-6))
    facts = metrics["variants"]["float32"]
    [gate] = [gate for gate in facts["gates"] if gate["name"] == "edge.max_latency_ms"]
    assert not facts["blessed"] and gate["measured"] == facts["latency"]["p50_ms"] > 1e-6
    assert metrics["reasons"][0].startswith("required edge variant float32: median time for one image ")


def test_more_images_than_a_batch_are_all_counted(tmp_path):
    each = BATCH // 2
    examples = edge.write_test_images(tmp_path / "examples", each)
    metrics = judged(tmp_path / "edge", examples, one())
    assert metrics["test"]["images"] == 3 * each > BATCH
    assert metrics["variants"]["float32"]["accuracy"] == 1.0


def test_a_class_that_the_model_does_not_have_is_an_error(tmp_path):
    model.write_raw(tmp_path / "e", "test", [(model.png(model.image("red", 1)), "purple")])
    with pytest.raises(DataError, match="class 'purple', which the model does not have"):
        judged(tmp_path / "edge", str(tmp_path / "e"), one())


def test_the_digest_of_the_test_data_depends_on_content_not_on_order(tmp_path):
    pairs = [(model.png(pixels), label) for pixels, label in model.examples(2)]
    digests = []
    for number, chosen in enumerate((pairs, pairs[::-1], pairs[1:])):
        model.write_raw(tmp_path / f"e{number}", "test", chosen)
        metrics = judged(tmp_path / f"edge{number}", str(tmp_path / f"e{number}"), one())
        digests.append(metrics["test"]["sha256"])
    assert digests[0] == digests[1] != digests[2]


# The interpreter.


def test_a_batch_gives_the_same_results_as_single_images():
    images = np.stack([pixels for pixels, _ in model.examples(3)])
    content = edge.converted()["float32"]
    many, single = EdgeRunner(content, batch=4), EdgeRunner(content)
    assert (many.batch, single.batch) == (4, 1)
    np.testing.assert_allclose(many.probabilities(images), single.probabilities(images), atol=1e-5)


def test_a_graph_with_a_fixed_shape_is_run_image_by_image():
    @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32)])
    def baked(image):
        return tf.nn.softmax(tf.reshape(image, [1, 192])[:, :3] / 255.0)

    content = Converter.from_concrete_functions([baked.get_concrete_function()]).convert()
    runner = EdgeRunner(content, batch=4)
    assert runner.batch == 1
    images = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    expected = tf.nn.softmax(images.reshape(3, 192)[:, :3] / 255.0).numpy()
    np.testing.assert_allclose(runner.probabilities(images), expected, atol=1e-5)


def test_a_graph_that_mixes_the_images_of_a_batch_is_run_image_by_image():
    @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32)])
    def mixing(image):
        return tf.reduce_mean(image, axis=[0, 1, 2])[tf.newaxis] / 255e3  # so small that all results look equal

    content = Converter.from_concrete_functions([mixing.get_concrete_function()]).convert()
    runner = EdgeRunner(content, batch=4)
    assert runner.batch == 1
    assert runner.probabilities(np.zeros((3, 8, 8, 3), np.uint8)).shape == (3, 3)


def test_latency_records_how_it_was_measured():
    latency = EdgeRunner(edge.converted()["int8"], threads=1).latency(np.zeros((1, 32, 32, 3), np.uint8), runs=7)
    assert isinstance(latency, Latency)
    assert (latency.runs, latency.threads) == (7, 1) and latency.cpu


def test_a_file_that_the_interpreter_cannot_load_is_an_error():
    with pytest.raises(ExportError, match="the LiteRT interpreter cannot load the model"):
        EdgeRunner(b"no model")


# Representative images.


def test_representative_images_are_spread_over_the_classes():
    labels = np.array([0] * 90 + [1] * 8 + [2] * 2)
    chosen = choose(labels, 20)
    assert np.bincount(labels[chosen]).tolist() == [10, 8, 2]
    assert len(set(chosen)) == 20 and chosen == sorted(chosen)
    assert max(chosen) > 95 and chosen[1] - chosen[0] == 9
    assert choose(labels, 1000) == list(range(100))
    assert len(choose(labels, 2)) == 2


def test_representative_images_come_from_the_train_split(tmp_path):
    pairs = list(model.examples(3))
    model.write_transformed(tmp_path, "train", pairs)
    model.write_transformed(tmp_path, "test", [(np.zeros((32, 32, 3), np.uint8), "red")])
    images = representative_images(str(tmp_path), 32, 6)
    assert images.shape == (6, 32, 32, 3) and images.dtype == np.uint8
    known = {pixels.tobytes(): label for pixels, label in pairs}
    assert sorted(known[image.tobytes()] for image in images) == sorted(2 * model.LABELS)
    assert (images == representative_images(str(tmp_path), 32, 6)).all()


def test_an_empty_train_split_is_an_error(tmp_path):
    model.write_transformed(tmp_path, "train", [])
    with pytest.raises(DataError, match="the train split has no examples"):
        representative_images(str(tmp_path), 32, 6)


def test_a_model_without_normalisation_names_one_class_for_all_images():
    assert add_metadata(edge.not_normalised(), model.LABELS, edge.ABOUT)
    images = np.stack([pixels for pixels, _ in model.examples(2)])
    assert len(set(EdgeRunner(edge.not_normalised()).probabilities(images).argmax(axis=1))) == 1
