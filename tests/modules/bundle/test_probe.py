"""A model is probed in a child process where it can do no harm, and every problem is reported in a sentence."""

from __future__ import annotations

import json
from dataclasses import replace

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgetune.modules.bundle.probe import Task, probe, tolerance
from edgetune.modules.contracts.bundle import parse_bundle
from edgetune.modules.litert.inspection import parse
from edgetune.modules.litert.metadata import add_metadata
from tests.tiny import bundle as tiny_bundle
from tests.tiny import edge
from tests.tiny import model as tiny_model


def task(variant: str = "float32") -> Task:
    folder = tiny_bundle.bundle() if variant == "float32" else tiny_bundle.bundle(("float32", variant))
    bundle = parse_bundle((folder / "bundle.json").read_bytes())
    facts = bundle.variants[variant]
    images = json.loads((folder / "golden" / "expected.json").read_text())["images"]
    golden = [(i["file"], (folder / "golden" / i["file"]).read_bytes(), i["probabilities"][variant]) for i in images]
    content = (folder / facts.file).read_bytes()
    return Task(
        content, variant, bundle.labels, bundle.image_size, facts.model_dump()["ops"], facts.min_runtime, golden=golden
    )


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_a_pushed_model_has_no_problems(variant):
    found = probe(task(variant))
    assert (found.file, found.golden) == ([], [])
    assert found.difference is not None and found.difference <= tolerance(variant)


def changed(change) -> bytes:
    """Return the float32 model with a change in its object tree, and its metadata added again."""
    model = parse(task().model)
    change(model)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return add_metadata(bytes(builder.Output()), tiny_model.LABELS, edge.ABOUT)


def test_changed_weights_change_the_answers_to_golden_images():
    def turn(model):
        for tensor in model.subgraphs[0].tensors:
            if list(tensor.shape) == [3, 3]:  # the last layer's kernel: give each class another channel
                buffer = model.buffers[tensor.buffer]
                buffer.data = (
                    np.roll(np.asarray(buffer.data, np.uint8).view(np.float32).reshape(3, 3), 1, 0)
                    .view(np.uint8)
                    .ravel()
                )

    found = probe(replace(task(), model=changed(turn)))
    assert found.file == [] and len(found.golden) == 3
    assert (
        found.golden[0].startswith("00.png: probability of '") and "a difference of 0.001 is allowed" in found.golden[0]
    )


def test_operations_that_differ_from_bundle_json_are_reported():
    found = probe(replace(task(), ops={"CONV_2D": 1}))
    assert found.file == ["needs other operations, or other versions of them, than bundle.json says"]


def test_labels_size_and_runtime_must_match_bundle_json():
    found = probe(replace(task(), labels=["blue", "red", "green"], image_size=64, min_runtime="9.9.9"))
    assert any(each.startswith("input is float32 [1, 32, 32, 3], but must be") for each in found.file)
    assert "label 2 inside is 'green', but bundle.json says 'red'" in found.file
    assert any("bundle.json says 9.9.9" in each for each in found.file)
    found = probe(replace(task(), labels=["blue", "red"]))
    assert "has 3 labels inside, but bundle.json has 2" in found.file
    assert any(each.startswith("output is float32 [1, 3], but must be float32 [1, 2]") for each in found.file)


def test_a_golden_image_must_be_a_png_of_the_input_size():
    asked = task()
    [first, *_] = asked.golden
    wide = tiny_model.png(next(tiny_model.examples(1))[0].repeat(2, axis=1))
    found = probe(replace(asked, golden=[("a.png", b"no image", first[2]), ("b.png", wide, first[2])]))
    assert found.golden[0].startswith("a.png: cannot be read as PNG")
    assert found.golden[1] == "b.png: is 64 x 32 RGB, but must be 32 x 32 RGB"


@pytest.mark.parametrize("cut", [0, 8, 100, 2000])
def test_a_truncated_flatbuffer_is_reported_in_one_line(cut):
    [found] = probe(replace(task(), model=task().model[:cut])).file
    assert found.startswith("cannot be read: ") and "\n" not in found


def test_a_well_formed_but_invalid_model_is_reported():
    def dangling(model):
        model.subgraphs[0].tensors[3].buffer = 10**6

    content = changed(dangling)
    found = probe(replace(task(), model=content))
    assert found.file == [] and found.golden[0].startswith(
        "cannot be run: the LiteRT interpreter cannot load the model"
    )


def nested_references(times: int) -> bytes:
    """Return a small model that reads as `times` subgraphs of `times` operations, by references to a single one."""
    builder = flatbuffers.Builder(1024)
    schema.OperatorStart(builder)
    operator = schema.OperatorEnd(builder)

    def same(table: int) -> int:
        builder.StartVector(4, times, 4)
        for _ in range(times):
            builder.PrependUOffsetTRelative(table)
        return builder.EndVector()

    operators = same(operator)
    schema.SubGraphStart(builder)
    schema.SubGraphAddOperators(builder, operators)
    graphs = same(schema.SubGraphEnd(builder))
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_model_that_never_ends_is_stopped_and_reported():
    content = nested_references(20_000)
    assert len(content) < 200_000
    [found] = probe(replace(task(), model=content), seconds=2).file
    assert found == "ends the process that reads or runs it: it was stopped by SIGXCPU (after 2 seconds)"


def test_variants_with_weights_of_8_bits_have_the_larger_tolerance():
    found = {variant: tolerance(variant) for variant in ("float32", "float16", "int8", "dynamic")}
    assert found == {"float32": 0.001, "float16": 0.001, "int8": 0.05, "dynamic": 0.05}
