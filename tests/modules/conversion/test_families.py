"""`int8` of each family of backbones: integers only, and the answers of the network in floating point."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from edgetune.modules.conversion.convert import convert
from edgetune.modules.core import progress
from edgetune.modules.litert import inspection
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.modules.models.backbone import assemble
from edgetune.modules.models.classifier import pool, stop_dropout
from edgetune.modules.serving.edge_only import export_edge
from tests.tiny import model as tiny_model
from tests.tiny.built_backbones import settings_of

CLASSES = len(tiny_model.LABELS)
large = pytest.mark.large


def images(each: int, first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 `[N, size, size, 3]` and their classes int64 `[N]`: an image's strongest channel."""
    truth = np.repeat(np.arange(CLASSES), each)
    named = [tiny_model.image(tiny_model.LABELS[label], first + row, size) for row, label in enumerate(truth)]
    return np.stack(named), truth


def classifier(name: str, last: str | None, pixels: np.ndarray, truth: np.ndarray) -> keras.Model:
    """Return a network with random kernels, whose batch normalization and head are fitted on images.

    Batch normalization keeps the mean and divides by the root of the mean square, as the initialization of He et al.
    ("Delving Deep into Rectifiers", 2015) does: if it took the mean away, a deep random network would be chaotic, and
    answer differently after the least change (Yang et al., "A Mean Field Theory of Batch Normalization", 2019).

    Args:
        name: The backbone.
        last: Last layer of the part that is used; None for all of it.
        pixels: uint8 `[N, S, S, 3]`.
        truth: int64 `[N]`.
    """
    keras.utils.set_random_seed(1)
    backbone = assemble(settings_of(name))
    stop_dropout(backbone)
    features = keras.Model(backbone.input, pool(backbone.get_layer(last).output if last else backbone.output))

    def fitted(layer: keras.layers.Layer) -> Callable[..., Any]:
        def call(*inputs: Any, **named: Any) -> Any:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.moving_mean.assign(np.zeros(layer.moving_mean.shape))
                layer.moving_variance.assign(np.mean(np.square(inputs[0]), axis=(0, 1, 2)))
            return layer(*inputs, **named)

        return call

    features._run_through_graph(keras.ops.convert_to_tensor(pixels, "float32"), operation_fn=fitted)
    pooled = np.asarray(features(pixels.astype(np.float32), training=False))
    scaler = StandardScaler().fit(pooled)
    regression = LogisticRegression(C=1 / pooled.shape[1], max_iter=1000).fit(scaler.transform(pooled), truth)
    kernel = regression.coef_.T / scaler.scale_[:, np.newaxis]
    dense = keras.layers.Dense(CLASSES, activation="softmax")
    made = keras.Model(features.input, dense(features.output))
    dense.set_weights([kernel, regression.intercept_ - scaler.mean_ @ kernel])
    return made


@pytest.mark.parametrize(
    ("name", "last", "operations"),
    [
        ("efficientnet_b0", "block2b_add", {"LOGISTIC", "MUL", "DEPTHWISE_CONV_2D", "ADD", "MEAN"}),
        pytest.param("efficientnet_v2_b0", "block2b_add", {"LOGISTIC", "MUL", "CONV_2D", "ADD"}, marks=large),
        pytest.param("resnet50", "conv2_block1_out", {"PAD", "MAX_POOL_2D", "ADD"}, marks=large),
        pytest.param("inception_v3", "mixed0", {"CONCATENATION", "AVERAGE_POOL_2D", "MAX_POOL_2D"}, marks=large),
    ],
)
def test_int8_of_the_first_blocks_answers_like_the_network_in_floating_point(
    tmp_path: Path, name: str, last: str, operations: set[str]
) -> None:
    # Of the first blocks, which have the operations of all: 50 layers with random kernels answer differently after the
    # least change, as those of a trained network do not.
    size = settings_of(name).image_size
    pixels, truth = images(20, 0, size)
    network = classifier(name, last, pixels, truth)
    content = int8_of(network, pixels, tmp_path)
    facts = inspection.inspect(content)
    assert inspection.problems(facts, "int8", size, CLASSES) == []
    assert operations <= set(facts.ops)
    others, expected_class = images(20, 1000, size)
    expected = np.asarray(network(others.astype(np.float32), training=False))
    answers = EdgeRunner(content).probabilities(others)
    assert (expected.argmax(axis=1) == expected_class).all()
    assert (answers.argmax(axis=1) == expected_class).all()
    assert np.abs(answers - expected).mean() < 0.05


@large
@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("efficientnet_b0", {"LOGISTIC", "MUL", "DEPTHWISE_CONV_2D", "ADD", "MEAN"}),
        ("efficientnet_v2_b0", {"LOGISTIC", "MUL", "DEPTHWISE_CONV_2D", "ADD", "MEAN"}),
        ("resnet50", {"PAD", "MAX_POOL_2D", "ADD"}),
        ("inception_v3", {"CONCATENATION", "AVERAGE_POOL_2D", "MAX_POOL_2D"}),
        ("mobilenet", {"DEPTHWISE_CONV_2D"}),
        ("mobilenet_v2", {"DEPTHWISE_CONV_2D", "ADD"}),
        ("mobilenet_v3_small", {"DEPTHWISE_CONV_2D", "MUL"}),
    ],
)
def test_int8_of_the_whole_network_has_no_float_operations(tmp_path: Path, name: str, operations: set[str]) -> None:
    pixels, truth = images(4, 0, settings_of(name).image_size)
    facts = inspection.inspect(int8_of(classifier(name, None, pixels, truth), pixels, tmp_path))
    assert inspection.problems(facts, "int8", pixels.shape[1], CLASSES) == []
    assert operations <= set(facts.ops)


def int8_of(network: keras.Model, pixels: np.ndarray, folder: Path) -> bytes:
    """Return a network's `int8`, calibrated by the pixels."""
    export_edge(network, str(folder / "saved_model"))
    said: list[str] = []
    with progress.listening(said.append):
        content = convert(str(folder / "saved_model"), ["int8"], pixels)["int8"]
    assert said == ["converting to int8"]  # not calibrated by the converter itself
    return content
