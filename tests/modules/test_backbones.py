"""Every architecture: its normalisation is Keras's, its cuts are between whole blocks, its refusals name the key."""

from __future__ import annotations

from typing import get_args

import keras
import numpy as np
import pytest

from modules.architectures import ARCHITECTURES, NORMALISATION
from modules.backbones import blocks, build_backbone, unfreeze_last
from modules.errors import ConfigError
from modules.settings import Backbone, ModelSettings

NAMES = get_args(Backbone)
APPLICATIONS = {
    "mobilenet": (keras.applications.MobileNet, keras.applications.mobilenet),
    "mobilenet_v2": (keras.applications.MobileNetV2, keras.applications.mobilenet_v2),
    "mobilenet_v3_small": (keras.applications.MobileNetV3Small, keras.applications.mobilenet_v3),
    "mobilenet_v3_large": (keras.applications.MobileNetV3Large, keras.applications.mobilenet_v3),
}
SIZE = 64
# Blocks between stem and last layers, from the tables of the papers (arXiv 1704.04861, 1801.04381, 1905.02244).
BLOCKS_IN_PAPER = {"mobilenet": 13, "mobilenet_v2": 17, "mobilenet_v3_small": 11, "mobilenet_v3_large": 15}
RESIDUAL_BLOCKS_IN_PAPER = {"mobilenet": 0, "mobilenet_v2": 10, "mobilenet_v3_small": 6, "mobilenet_v3_large": 10}


@pytest.fixture(params=NAMES)
def backbone(request: pytest.FixtureRequest) -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_backbone(ModelSettings(backbone=request.param, image_size=SIZE), pretrained=False)


def pixels(count: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIZE, SIZE, 3)).astype(np.float32)


def test_every_name_in_the_settings_has_an_entry():
    assert set(ARCHITECTURES) == set(NAMES)


def test_features_are_those_of_keras_with_its_own_preprocessing(backbone):
    build, module = APPLICATIONS[backbone.name]
    original = build(input_shape=(SIZE, SIZE, 3), include_top=False, weights=None)
    original.set_weights(backbone.get_weights())
    expected = original(module.preprocess_input(pixels().copy()), training=False)
    found = backbone(pixels(), training=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max()))
    assert float(np.std(expected)) > 0


def test_normalisation_equals_preprocess_input_to_float_precision(backbone):
    every_value = np.arange(256, dtype=np.float32).repeat(3).reshape(1, 16, 16, 3)
    found = backbone.get_layer(NORMALISATION)(every_value)
    # MobileNetV3's own preprocess_input changes nothing, because the network does; the scale is the same.
    module = keras.applications.mobilenet_v2 if "v3" in backbone.name else APPLICATIONS[backbone.name][1]
    np.testing.assert_allclose(found, module.preprocess_input(every_value.copy()), rtol=0, atol=2e-7)


def test_the_input_is_plain_rgb_of_the_size_and_the_model_is_flat(backbone):
    assert backbone.input_shape == (None, SIZE, SIZE, 3)
    assert not [layer for layer in backbone.layers if isinstance(layer, keras.Model)]
    assert len(backbone.output_shape) == 4


def test_blocks_hold_every_layer_once_and_are_those_of_the_paper(backbone):
    found = blocks(backbone)
    layers = [layer for block in found for layer in block.layers]
    assert layers == [x for x in backbone.layers if x.name not in ("image", NORMALISATION)]
    assert len({block.name for block in found}) == len(found)
    inner = [block for block in found if block.name not in ("stem", "last")]
    assert len(inner) == BLOCKS_IN_PAPER[backbone.name]


def leads_past(cut: keras.KerasTensor, backbone: keras.Model) -> bool:
    """Whether a path from the input to the output exists that does not go through the tensor `cut`."""
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
    for block in blocks(backbone):
        assert not leads_past(block.layers[-1].output, backbone), block.name


def test_a_cut_inside_a_residual_block_would_be_found(backbone):
    """The check above can fail: within a block with an addition, only the addition's own output will do."""
    residual = [b for b in blocks(backbone) if any(isinstance(layer, keras.layers.Add) for layer in b.layers)]
    assert len(residual) == RESIDUAL_BLOCKS_IN_PAPER[backbone.name]
    for block in residual:
        assert isinstance(block.layers[-1], keras.layers.Add)
        for layer in block.layers[:-1]:
            assert leads_past(layer.output, backbone), layer.name


def test_a_network_cut_in_two_computes_the_same(backbone):
    expected = backbone(pixels(), training=False)
    for block in blocks(backbone)[:-1:4]:
        cut = block.layers[-1].output
        lower, upper = keras.Model(backbone.input, cut), keras.Model(cut, backbone.output)
        np.testing.assert_allclose(upper(lower(pixels()), training=False), expected, rtol=1e-4, atol=1e-5)


def test_forty_layers_of_mobilenet_v2_are_everything_after_block_12():
    backbone = build_backbone(ModelSettings(alpha=0.35, image_size=SIZE), pretrained=False)
    names = [layer.name for layer in backbone.layers]
    trainable = unfreeze_last(backbone, 40)
    assert names[names.index(trainable[0].name) - 1] == "block_12_add"
    assert trainable[0].name == "block_13_expand" and trainable[-1].name == "Conv_1"
    assert [layer for layer in backbone.layers if layer.trainable_weights] == trainable


def test_unfreezing_is_rounded_down_to_whole_blocks(backbone):
    sizes = [len(block.layers) for block in blocks(backbone)]
    two = sizes[-1] + sizes[-2]
    assert unfreeze_last(backbone, two - 1)[0] in blocks(backbone)[-1].layers
    assert unfreeze_last(backbone, two)[0] in blocks(backbone)[-2].layers
    assert unfreeze_last(backbone, two + 1)[0] in blocks(backbone)[-2].layers
    assert unfreeze_last(backbone, sum(sizes))[0] in blocks(backbone)[0].layers


def test_batch_normalisation_stays_in_inference_mode(backbone):
    unfreeze_last(backbone, sum(len(block.layers) for block in blocks(backbone)))
    before = backbone.get_weights()
    training, inference = backbone(pixels(8), training=True), backbone(pixels(8), training=False)
    np.testing.assert_array_equal(training, inference)
    for old, new in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert backbone.trainable_weights


def test_a_frozen_backbone_can_be_unfrozen(backbone):
    backbone.trainable = False
    trainable = unfreeze_last(backbone, len(blocks(backbone)[-1].layers))
    assert [w.path for layer in trainable for w in layer.trainable_weights] == [
        w.path for w in backbone.trainable_weights
    ]


def test_too_many_and_too_few_layers_are_refused_with_the_allowed_range(backbone):
    sizes = [len(block.layers) for block in blocks(backbone)]
    for last in (sum(sizes) + 1, sizes[-1] - 1):
        with pytest.raises(ConfigError, match="training.fine_tune.unfreeze.last") as error:
            unfreeze_last(backbone, last)
        assert f"{sizes[-1]} .. {sum(sizes)}" in error.value.remedy


@pytest.mark.parametrize("name", NAMES)
def test_imagenet_weights_for_an_alpha_that_keras_has_not_are_refused(name):
    with pytest.raises(ConfigError, match="model.alpha is 0.6") as error:
        build_backbone(ModelSettings(backbone=name, alpha=0.6, image_size=SIZE))
    assert "1.0" in error.value.remedy


def test_an_alpha_that_leaves_no_filters_is_refused():
    with pytest.raises(ConfigError, match="model.alpha 0.01"):
        build_backbone(ModelSettings(backbone="mobilenet", alpha=0.01, image_size=SIZE), pretrained=False)


def test_an_image_size_that_the_architecture_refuses_is_refused():
    settings = ModelSettings().model_copy(update={"image_size": 16})  # below what the settings themselves allow
    with pytest.raises(ConfigError, match="model.image_size 16"):
        build_backbone(settings, pretrained=False)
