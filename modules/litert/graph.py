"""Run a LiteRT network as TensorFlow operations, so that its tensors can be observed and the network modified.

Only the operations of image classifiers that compute in floating point are supported; any other raises
`UnsupportedOperation`. Constants that the file stores in 16 or 8 bits are read as float32.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from edgetune.modules.litert.inspection import operator_names, parse

CONV, DEPTHWISE, DENSE = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"
WEIGHTED = (CONV, DEPTHWISE, DENSE)
"""Operations with a kernel and a bias; their inputs are values, kernel and bias."""

_DTYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT8: np.int8,
}
_Activation = schema.ActivationFunctionType
_ACTIVATIONS: dict[int, Callable[[tf.Tensor], tf.Tensor]] = {
    _Activation.NONE: tf.identity,
    _Activation.RELU: tf.nn.relu,
    _Activation.RELU6: tf.nn.relu6,
}


class UnsupportedOperation(Exception):
    """The network has an operation, type or activation function that is not supported; the message names it."""


@dataclass(frozen=True)
class Operation:
    """A step of the network."""

    kind: str
    """Name in LiteRT's schema, such as `CONV_2D`."""
    inputs: tuple[int, ...]
    """Numbers of computed tensors and constants."""
    output: int
    options: Any = None
    """The schema's options object for this kind."""

    @property
    def activation(self) -> int:
        """The fused activation function, by its number in the schema."""
        return getattr(self.options, "fusedActivationFunction", _Activation.NONE)


Hook = Callable[[Operation | None, int, tf.Tensor], tf.Tensor]
"""Takes an operation (None for the image), the number of its output tensor, and the tensor; returns the tensor that the
network continues with."""
Compute = Callable[[Operation, Sequence[Any]], tf.Tensor]
"""Takes an operation and its inputs, computed or constant; returns its output."""


@dataclass
class Network:
    """Operations in execution order, and their tensors."""

    operations: list[Operation]
    constants: dict[int, np.ndarray]
    shapes: dict[int, tuple[int, ...]]
    """Shape of each tensor, for one image."""
    image: int
    """Number of the input, float32 `[1, S, S, 3]` in 0..255."""
    names: dict[int, str] = field(default_factory=dict)

    @property
    def answer(self) -> int:
        """Number of the output."""
        return self.operations[-1].output

    def add_tensor(self, name: str, shape: Sequence[int], value: np.ndarray | None = None) -> int:
        """Add a tensor, a constant if `value` is given, and return its number."""
        number = max(self.shapes) + 1
        self.names[number], self.shapes[number] = name, tuple(shape)
        if value is not None:
            self.constants[number] = value.astype(np.float32)
        return number

    def readers(self) -> dict[int, list[Operation]]:
        """Return the operations that read each tensor."""
        found: dict[int, list[Operation]] = {}
        for operation in self.operations:
            for number in operation.inputs:
                found.setdefault(number, []).append(operation)
        return found

    def run(self, images: tf.Tensor, hook: Hook, compute: Compute | None = None) -> tf.Tensor:
        """Compute probabilities of images.

        Args:
            images: float32 `[N, S, S, 3]` in 0..255.
            hook: Gets every tensor.
            compute: Computes each operation; by default `result`.

        Returns:
            float32 `[N, C]`.
        """
        compute = compute or result
        values = {self.image: hook(None, self.image, images)}
        last = {number: operation for operation in self.operations for number in operation.inputs}
        for operation in self.operations:
            operands = [values[n] if n in values else self.constants[n] for n in operation.inputs]
            # The converter names its tensors after the scope, so that its error messages point to the layer.
            with tf.name_scope(_scope(self.names[operation.output])):
                values[operation.output] = hook(operation, operation.output, compute(operation, operands))
            for number in set(operation.inputs) & set(values):
                if last[number] is operation:
                    del values[number]
        return values[self.answer]


def read_network(content: bytes) -> Network:
    """Read the network of a file.

    Args:
        content: A LiteRT model that computes in floating point.

    Raises:
        UnsupportedOperation: It has an operation, type or activation function that is not supported.
        ExportError: This is not a LiteRT model.
    """
    model = parse(content)
    graph, kinds = model.subgraphs[0], operator_names(model)
    network = Network([], {}, {}, int(graph.inputs[0]))
    for number, tensor in enumerate(graph.tensors):
        network.names[number] = tensor.name.decode(errors="replace")
        network.shapes[number] = tuple(() if tensor.shape is None else (int(size) for size in tensor.shape))
        data = model.buffers[tensor.buffer].data
        if data is not None and len(data):
            if tensor.type not in _DTYPES:
                raise UnsupportedOperation(f"type {tensor.type} of constant {network.names[number]!r}")
            values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), _DTYPES[tensor.type])
            network.constants[number] = _restored(values.reshape(network.shapes[number]), tensor.quantization)
    for operator in graph.operators:
        if kinds[operator.opcodeIndex] == "DEQUANTIZE" and int(operator.inputs[0]) in network.constants:
            network.constants[int(operator.outputs[0])] = network.constants[int(operator.inputs[0])]
            continue
        operation = Operation(
            kinds[operator.opcodeIndex],
            tuple(int(number) for number in operator.inputs),
            int(operator.outputs[0]),
            operator.builtinOptions,
        )
        network.operations.append(_with_own_constants(operation, network))
        _check(network.operations[-1], network)
    return network


def _restored(values: np.ndarray, quantization: Any) -> np.ndarray:
    """Return a constant as the float32 that its 16 or 8 bits stand for; int32 is returned unchanged."""
    if values.dtype == np.int32:
        return values
    if values.dtype == np.int8:
        if quantization is None or quantization.scale is None:
            raise UnsupportedOperation("an int8 constant without a scale")
        scale, shape = np.asarray(quantization.scale), [1] * values.ndim
        if len(scale) > 1:
            shape[quantization.quantizedDimension] = -1
        return values.astype(np.float32) * scale.reshape(shape)  # the zero point of weights is 0
    return values.astype(np.float32)


def _with_own_constants(operation: Operation, network: Network) -> Operation:
    """Return the operation with its own kernel and bias: the file stores equal ones once, and no bias of zeros."""
    if operation.kind not in WEIGHTED:
        return operation
    values, kernel, *bias = operation.inputs
    if not bias or bias[0] < 0:
        channels = network.shapes[operation.output][-1:]
        bias = [network.add_tensor(f"{network.names[operation.output]}/bias", channels, np.zeros(channels))]
    used = {number for other in network.operations for number in other.inputs}
    own = [
        network.add_tensor(network.names[number], network.shapes[number], network.constants[number])
        if number in used and number in network.constants
        else number
        for number in (kernel, *bias)
    ]
    return replace(operation, inputs=(values, *own))


def _check(operation: Operation, network: Network) -> None:
    if operation.kind not in _LINEAR:
        raise UnsupportedOperation(f"operation {operation.kind}")
    if operation.activation not in _ACTIVATIONS:
        raise UnsupportedOperation(f"activation function {operation.activation} of {operation.kind}")
    if operation.kind in WEIGHTED and not set(operation.inputs[1:]) <= set(network.constants):
        raise UnsupportedOperation(f"{operation.kind} without a constant kernel and bias")


def result(operation: Operation, operands: Sequence[Any]) -> tf.Tensor:
    """Apply an operation with its activation function."""
    return activate(operation, linear(operation, operands))


def linear(operation: Operation, operands: Sequence[Any]) -> tf.Tensor:
    """Apply an operation without its activation function."""
    return _LINEAR[operation.kind](operation, operands)


def activate(operation: Operation, value: tf.Tensor) -> tf.Tensor:
    """Apply an operation's activation function."""
    return _ACTIVATIONS[operation.activation](value)


def _scope(name: str) -> str:
    """Return a tensor's name as a valid TensorFlow scope; if layers were fused, the name of the last."""
    return re.sub(r"[^A-Za-z0-9_./-]", "_", name.strip(";").rsplit(";", 1)[-1]).lstrip("_/.-") or "unnamed"


def _padding(options: Any) -> str:
    return "SAME" if options.padding == schema.Padding.SAME else "VALID"


def _conv(operation: Operation, operands: Sequence[Any]) -> tf.Tensor:
    options = operation.options
    image, kernel, bias = operands
    kernel = np.transpose(kernel, (1, 2, 3, 0))  # LiteRT's is [output, height, width, input]
    strides, dilations = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
    return tf.nn.conv2d(image, kernel, strides, _padding(options), dilations=dilations) + bias


def _depthwise(operation: Operation, operands: Sequence[Any]) -> tf.Tensor:
    options = operation.options
    image, kernel, bias = operands
    kernel = np.reshape(kernel, (*kernel.shape[1:3], -1, options.depthMultiplier))
    strides, dilations = [1, options.strideH, options.strideW, 1], (options.dilationHFactor, options.dilationWFactor)
    return tf.nn.depthwise_conv2d(image, kernel, strides, _padding(options), dilations=dilations) + bias


def _pool(function: Callable[..., tf.Tensor]) -> Callable[[Operation, Sequence[Any]], tf.Tensor]:
    def pool(operation: Operation, operands: Sequence[Any]) -> tf.Tensor:
        options = operation.options
        size, strides = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
        return function(operands[0], size, strides, _padding(options))

    return pool


def _mean(operation: Operation, operands: Sequence[Any]) -> tf.Tensor:
    return tf.reduce_mean(operands[0], axis=np.ravel(operands[1]).tolist(), keepdims=operation.options.keepDims)


def _reshape(operation: Operation, operands: Sequence[Any]) -> tf.Tensor:
    return tf.reshape(operands[0], [-1, *np.ravel(operands[1])[1:].tolist()])


_LINEAR: dict[str, Callable[[Operation, Sequence[Any]], tf.Tensor]] = {
    CONV: _conv,
    DEPTHWISE: _depthwise,
    DENSE: lambda operation, operands: tf.matmul(operands[0], operands[1], transpose_b=True) + operands[2],
    "ADD": lambda operation, operands: operands[0] + operands[1],
    "SUB": lambda operation, operands: operands[0] - operands[1],
    "MUL": lambda operation, operands: operands[0] * operands[1],
    "PAD": lambda operation, operands: tf.pad(operands[0], operands[1]),
    "MEAN": _mean,
    "MAX_POOL_2D": _pool(tf.nn.max_pool2d),
    "AVERAGE_POOL_2D": _pool(tf.nn.avg_pool2d),
    "CONCATENATION": lambda operation, operands: tf.concat(operands, operation.options.axis),
    "RESHAPE": _reshape,
    "RELU": lambda operation, operands: tf.nn.relu(operands[0]),
    "RELU6": lambda operation, operands: tf.nn.relu6(operands[0]),
    "LOGISTIC": lambda operation, operands: tf.sigmoid(operands[0]),
    "HARD_SWISH": lambda operation, operands: operands[0] * tf.nn.relu6(operands[0] + 3.0) * (1 / 6),
    "SOFTMAX": lambda operation, operands: tf.nn.softmax(operands[0]),
}
