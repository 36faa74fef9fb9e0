"""Problems of a model are found by reading its file."""

from __future__ import annotations

from dataclasses import replace

import flatbuffers
import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgetune.modules.conversion import convert
from edgetune.modules.core.errors import ExportError
from edgetune.modules.litert import inspection
from edgetune.modules.litert.inspection import inspect, problems
from tests.tiny import edge
from tests.tiny import model as tiny_model


def altered(variant: str, change) -> bytes:
    """Return a converted variant with a change in its object tree."""
    model = inspection.parse(edge.converted()[variant])
    change(model)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def wrong(content: bytes, variant: str) -> list[str]:
    return problems(inspect(content), variant, 32, 3)


@pytest.mark.parametrize("variant", edge.VARIANTS)
def test_converted_variants_meet_the_needs_of_clients(variant):
    content = edge.converted()[variant]
    assert wrong(content, variant) == []
    facts = inspect(content)
    assert facts.subgraphs == 1
    assert {"CONV_2D", "MEAN", "FULLY_CONNECTED", "SOFTMAX"} <= set(facts.ops)
    assert all(version >= 1 for version in facts.ops.values())
    assert facts.min_runtime is not None and facts.min_runtime[0].isdigit()


# The releases of TensorFlow Lite that introduced operation versions which converters have written since
# (`lite/tools/versioning/runtime_version.cc`).
NEWEST = {
    ("FULLY_CONNECTED", 9): (2, 3, 0),
    ("FULLY_CONNECTED", 12): (2, 17, 0),
    ("CONV_2D", 5): (2, 4, 0),
    ("DEPTHWISE_CONV_2D", 6): (2, 3, 0),
    ("DEPTHWISE_CONV_2D", 7): (2, 11, 0),
}


def test_min_runtime_of_dynamic_covers_its_newest_operation(tmp_path):
    # A dense layer as large as in a real head: the converter does not quantize smaller ones.
    image = keras.Input((32, 32, 3), name="image")
    x = keras.layers.Conv2D(128, 3)(keras.layers.Rescaling(1 / 127.5, -1.0)(image))
    x = keras.layers.Dense(3, activation="softmax")(keras.layers.Dense(64)(keras.layers.GlobalAveragePooling2D()(x)))
    saved_model = tiny_model.save_edge(keras.Model(image, x), tmp_path / "model")
    facts = inspect(convert._convert_one(saved_model, "dynamic", np.zeros((1, 32, 32, 3), np.uint8)))
    assert facts.ops["FULLY_CONNECTED"] >= 9  # hybrid: 8-bit weights, activations in floating point
    needed = max(NEWEST[operation] for operation in facts.ops.items() if operation in NEWEST)
    assert needed >= NEWEST["FULLY_CONNECTED", facts.ops["FULLY_CONNECTED"]]
    assert tuple(map(int, facts.min_runtime.split("."))) >= needed


def test_a_float_model_named_int8_is_detected():
    found = wrong(edge.converted()["float32"], "int8")
    assert found[0] == (
        "input is float32 [1, 32, 32, 3], but must be uint8 [1, 32, 32, 3] with scale 1 and zero point 0"
    )
    assert "computes in floating point in 7 operations, first MUL (operation 0, tensor 'edge_image:0')" in found[1]


def test_a_single_float_operation_in_int8_is_named():
    def leave(model):
        graph = model.subgraphs[0]
        mean = next(op for op in graph.operators if inspect_name(model, op) == "MEAN")
        graph.tensors[mean.outputs[0]].type = schema.TensorType.FLOAT32

    [found] = wrong(altered("int8", leave), "int8")
    assert "first MEAN (operation" in found
    assert "GlobalAverage" in found or "global_average" in found


def inspect_name(model, operator) -> str:
    return inspection._operator(model.operatorCodes[operator.opcodeIndex])[0]


def test_an_int8_output_is_rejected():
    def cut(model):  # remove the final dequantization
        graph = model.subgraphs[0]
        last = graph.operators.pop()
        graph.outputs = last.inputs[:1]

    [found] = wrong(altered("int8", cut), "int8")
    assert found.startswith("output is int8 [1, 3] with scale")


def test_another_size_and_another_number_of_classes_are_rejected():
    facts = inspect(edge.converted()["float32"])
    found = problems(facts, "float32", 64, 4)
    assert found == [
        "input is float32 [1, 32, 32, 3], but must be float32 [1, 64, 64, 3]",
        "output is float32 [1, 3], but must be float32 [1, 4]",
    ]


def test_a_second_subgraph_is_rejected():
    content = altered("float32", lambda model: model.subgraphs.append(model.subgraphs[0]))
    assert wrong(content, "float32") == ["has 2 subgraphs, but clients expect one"]


def test_a_flex_operation_is_rejected():
    def flex(model):
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = "FlexErf"

    assert wrong(altered("float32", flex), "float32") == ["needs operations that are not built in: CUSTOM:FlexErf"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no model", b"\x1c\0\0\0TFL3" + b"\xff" * 40])
def test_a_file_that_is_not_a_model_is_an_error(content):
    with pytest.raises(ExportError, match="this is not a LiteRT model"):
        inspect(content)


PHOTO = inspection.Tensor("image", (1, 32, 32, 3), "uint8", 1.0, 0)
ANSWER = inspection.Tensor("probabilities", (1, 3), "float32")
SOUND = inspection.Facts(1, (PHOTO,), (ANSWER,), {"CONV_2D": 3}, (), "2.3.0")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"subgraphs": 2}, ["has 2 subgraphs, but clients expect one"]),
        ({"ops": {"CUSTOM:Erf": 1}}, ["needs operations that are not built in: CUSTOM:Erf"]),
        (
            {"inputs": (replace(PHOTO, scale=0.5),)},
            ["input is uint8 [1, 32, 32, 3] with scale 0.5 and zero point 0, but must be "
             "uint8 [1, 32, 32, 3] with scale 1 and zero point 0"],
        ),
        (
            {"inputs": (replace(PHOTO, zero_point=-128),)},
            ["input is uint8 [1, 32, 32, 3] with scale 1 and zero point -128, but must be "
             "uint8 [1, 32, 32, 3] with scale 1 and zero point 0"],
        ),
        (
            {"outputs": (replace(ANSWER, shape=(1, 4)),)},
            ["output is float32 [1, 4], but must be float32 [1, 3]"],
        ),
        ({"outputs": (ANSWER, ANSWER)}, ["has 2 outputs, but clients expect one"]),
        (
            {"float_ops": ("QUANTIZE (a)", "MEAN (b)")},
            ["computes in floating point in 1 operations, first MEAN (b)"],
        ),
    ],
)  # fmt: skip
def test_each_problem_of_a_file_is_found(change, said):
    assert problems(replace(SOUND, **change), "int8", 32, 3) == said
