"""Cutting and unfreezing of every architecture: always between whole blocks, with batch normalisation frozen."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.models.backbone import NORMALISATION
from edgetune.modules.models.blocks import Unfrozen, blocks, build_backbone, cut_backbone, unfreeze
from edgetune.modules.models.classifier import stop_dropout
from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.run import ModelSettings, Unfreeze
from tests.tiny.built_backbones import PARAMETERS, built

# Number of blocks between stem and last layers, and of those with an addition, from the tables of the papers (arXiv
# 1704.04861, 1801.04381, 1905.02244, 1512.03385, 1905.11946, 2104.00298); Inception's are its mixed layers.
BLOCKS_IN_PAPER = {
    "mobilenet": (13, 0),
    "mobilenet_v2": (17, 10),
    "mobilenet_v3_small": (11, 6),
    "mobilenet_v3_large": (15, 10),
    "resnet50": (3 + 4 + 6 + 3, 16),
    "resnet101": (3 + 4 + 23 + 3, 33),
    "efficientnet_b0": (16, 9),
    "efficientnet_b7": (55, 48),
    "efficientnet_v2_b0": (21, 15),
    "inception_v3": (11, 0),
}


@pytest.fixture(params=PARAMETERS)
def backbone(request: pytest.FixtureRequest) -> keras.Model:
    return built(request.param)


@pytest.fixture
def mobilenet_v2() -> keras.Model:
    return built("mobilenet_v2")


def pixels(backbone: keras.Model, count: int = 2) -> np.ndarray:
    shape = (count, *backbone.input_shape[1:])
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.float32)


def additions(block: object) -> list[keras.layers.Layer]:
    return [layer for layer in block.layers if isinstance(layer, keras.layers.Add)]


def test_blocks_contain_every_layer_once_and_match_the_paper(backbone):
    found = blocks(backbone)
    layers = [layer for block in found for layer in block.layers]
    assert layers == [x for x in backbone.layers if x.name not in ("image", NORMALISATION)]
    assert len({block.name for block in found}) == len(found)
    inner = [block for block in found if block.name not in ("stem", "last")]
    if backbone.name in BLOCKS_IN_PAPER:
        assert (len(inner), sum(bool(additions(block)) for block in inner)) == BLOCKS_IN_PAPER[backbone.name]


def leads_past(cut: keras.KerasTensor, backbone: keras.Model) -> bool:
    """Return whether a path from input to output bypasses the tensor `cut`."""
    waiting, seen = list(backbone.outputs), {id(cut)}
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if tensor is backbone.inputs[0]:
            return True
        history = tensor._keras_history
        waiting.extend(history.operation._inbound_nodes[history.node_index].input_tensors)
    return False


def test_all_paths_go_through_every_cut(backbone):
    """So nothing from before the cut, except the cut tensor itself, is used after it."""
    for block in blocks(backbone):
        assert not leads_past(block.layers[-1].output, backbone), block.name


def test_a_cut_inside_a_residual_block_is_detected(backbone):
    """The check above can fail: in a block with an addition, only tensors after the addition are valid cuts."""
    for block in blocks(backbone):
        for addition in additions(block)[:1]:
            for layer in block.layers[: block.layers.index(addition)]:
                assert leads_past(layer.output, backbone), layer.name


def test_the_backbone_and_its_two_parts_compute_the_same_bit_for_bit_in_training_too(backbone):
    stop_dropout(backbone)  # as `build_classifier` does
    unfrozen = unfreeze(backbone, Unfreeze())
    frozen, tail = cut_backbone(backbone, unfrozen.first_block)
    images = pixels(backbone)
    expected = np.asarray(backbone(images, training=False))
    assert float(np.std(expected)) > 0
    for training in (False, True):  # `fit` calls every layer with `training=True`
        np.testing.assert_array_equal(tail(frozen(images, training=training), training=training), expected)
    np.testing.assert_array_equal(backbone(images, training=True), expected)
    assert not frozen.trainable_weights
    assert [id(w) for w in tail.trainable_weights] == [id(w) for w in backbone.trainable_weights]
    assert {id(w) for w in frozen.weights} | {id(w) for w in tail.weights} == {id(w) for w in backbone.weights}
    assert not {id(w) for w in frozen.weights} & {id(w) for w in tail.weights}


DEEP = [pytest.param(name, marks=pytest.mark.large) for name in ("resnet50", "efficientnet_b0", "inception_v3")]


@pytest.mark.parametrize("name", ["mobilenet_v3_small", *DEEP])
def test_every_cut_computes_the_same(name):
    backbone = built(name)
    images = pixels(backbone)
    expected = backbone(images, training=False)
    for block in blocks(backbone):
        frozen, tail = cut_backbone(backbone, block.name)
        np.testing.assert_array_equal(tail(frozen(images, training=False), training=False), expected, block.name)


def test_cutting_does_not_modify_the_backbone(mobilenet_v2):
    names, before = [layer.name for layer in mobilenet_v2.layers], blocks(mobilenet_v2)
    cut_backbone(mobilenet_v2, "block_5")
    assert [layer.name for layer in mobilenet_v2.layers] == names and blocks(mobilenet_v2) == before


def test_cutting_at_an_unknown_block_is_an_error(mobilenet_v2):
    with pytest.raises(KeyError, match="block_99"):
        cut_backbone(mobilenet_v2, "block_99")


def test_block_names_do_not_depend_on_previously_built_models():
    again = build_backbone(ModelSettings(backbone="inception_v3", image_size=75), pretrained=False)
    assert [block.name for block in blocks(again)] == ["stem", *(f"mixed{i}" for i in range(11))]


def test_the_default_unfreezes_whole_blocks_of_each_architecture(backbone):
    default = ARCHITECTURES[backbone.name].unfreeze
    unfrozen = unfreeze(backbone, Unfreeze())
    assert unfrozen == unfreeze(backbone, Unfreeze(last=default))
    share = unfrozen.parameters / backbone.count_params()
    assert 0.3 < share < 0.85


def test_forty_layers_of_mobilenet_v2_are_everything_after_block_12(mobilenet_v2):
    for settings in (Unfreeze(), Unfreeze(last=40), Unfreeze(from_block="block_13"), Unfreeze(fraction=0.26)):
        unfrozen = unfreeze(mobilenet_v2, settings)
        assert unfrozen.first_block == "block_13"
        assert unfrozen.layers[0].name == "block_13_expand" and unfrozen.layers[-1].name == "Conv_1"
        assert [layer for layer in mobilenet_v2.layers if layer.trainable_weights] == list(unfrozen.layers)


def test_unfreezing_is_rounded_down_to_whole_blocks(backbone):
    whole = blocks(backbone)
    sizes = [len(block.layers) for block in whole]
    two = sizes[-1] + sizes[-2]
    expected = {two - 1: -1, two: -2, two + 1: -2 if sizes[-3] > 1 else -3, sum(sizes): 0}
    for last, position in expected.items():
        assert unfreeze(backbone, Unfreeze(last=last)).first_block == whole[position].name
        fraction = last / sum(sizes)
        assert unfreeze(backbone, Unfreeze(fraction=fraction)).first_block == whole[position].name


def test_every_block_can_be_named(backbone):
    for block in blocks(backbone):
        unfrozen = unfreeze(backbone, Unfreeze(from_block=block.name))
        assert unfrozen.first_block == block.name


def test_batch_normalisation_stays_in_inference_mode(backbone):
    """With the whole network unfrozen, a call with training=True neither updates nor uses batch statistics."""
    unfreeze(backbone, Unfreeze(fraction=1.0))
    assert backbone.trainable_weights
    normalisations = [x for x in backbone.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert normalisations and not any(layer.trainable_weights for layer in normalisations)
    before = [value for layer in normalisations for value in layer.get_weights()]
    training = backbone(pixels(backbone), training=True)
    for old, new in zip(before, (v for layer in normalisations for v in layer.get_weights()), strict=True):
        np.testing.assert_array_equal(old, new)
    if not any(
        isinstance(layer, keras.layers.Dropout) for layer in backbone.layers
    ):  # EfficientNets drop blocks at random
        np.testing.assert_array_equal(training, backbone(pixels(backbone), training=False))


def test_a_frozen_backbone_can_be_unfrozen(mobilenet_v2):
    mobilenet_v2.trainable = False
    layers = unfreeze(mobilenet_v2, Unfreeze(last=3)).layers
    assert [w.path for x in layers for w in x.trainable_weights] == [w.path for w in mobilenet_v2.trainable_weights]


def test_the_trainable_layers_and_parameters_are_logged(mobilenet_v2, caplog):
    with caplog.at_level(logging.INFO, logger="absl"):
        unfrozen = unfreeze(mobilenet_v2, Unfreeze(last=3))
    assert unfrozen == Unfrozen("last", (mobilenet_v2.get_layer("Conv_1"),), 320 * 1280)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == (
        "mobilenet_v2: trainable from last on, 1 of 153 layers with 409600 of 2257984 parameters: Conv_1"
    )


def test_too_many_or_too_few_layers_are_refused_with_the_allowed_range(backbone):
    sizes = [len(block.layers) for block in blocks(backbone)]
    for last in (sum(sizes) + 1, sizes[-1] - 1):
        with pytest.raises(ConfigError, match=f"training.fine_tune.unfreeze.last is {last}") as error:
            unfreeze(backbone, Unfreeze(last=last))
        assert f"{sizes[-1]} .. {sum(sizes)}" in error.value.remedy


def test_the_error_for_too_small_a_fraction_names_the_lowest_that_works(backbone):
    with pytest.raises(ConfigError, match="training.fine_tune.unfreeze.fraction is 0.001") as error:
        unfreeze(backbone, Unfreeze(fraction=0.001))
    lowest = float(error.value.remedy.split()[3])
    assert unfreeze(backbone, Unfreeze(fraction=lowest)).first_block == blocks(backbone)[-1].name


def test_the_error_for_an_unknown_block_lists_all_blocks(backbone):
    with pytest.raises(ConfigError, match="from_block is 'block_99', but .* has no such block") as error:
        unfreeze(backbone, Unfreeze(from_block="block_99"))
    for block in blocks(backbone):
        assert block.name in error.value.remedy


@pytest.mark.parametrize("two", [{"last": 3, "fraction": 0.5}, {"last": 3, "from_block": "last"}])
def test_two_ways_of_unfreezing_at_once_are_refused(two):
    with pytest.raises(ValidationError, match=" and .*set only one of them"):
        Unfreeze(**two)
