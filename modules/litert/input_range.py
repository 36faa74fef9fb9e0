"""Let a LiteRT model take pixels of another range than 0 to 255, for apps that cannot be changed.

A multiplication and an addition are put before the network, which turn the values back into 0..255. The network is not
changed, so a model of each range gives the same answers, but for float32 rounding.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgetune.modules.litert.flatbuffer import editable, pack

_Op = schema.BuiltinOperator
_Options = schema.BuiltinOptions


def with_input_range(content: bytes, mean: float, std: float) -> bytes:
    """Return a model whose input is `(level - mean) / std` of each channel's level, 0 to 255.

    Args:
        content: A LiteRT model with one float32 input in 0..255.
        mean: What clients subtract.
        std: What clients divide by afterwards.

    Returns:
        The model with the operations before it; the same bytes if the input is not to change.

    Raises:
        ExportError: This is not a LiteRT model.
    """
    steps = [(_Op.MUL, _Options.MulOptions, schema.MulOptionsT, std, 1.0, b"scale")]
    steps += [(_Op.ADD, _Options.AddOptions, schema.AddOptionsT, mean, 0.0, b"offset")]
    steps = [step for step in steps if step[3] != step[4]]
    if not steps:
        return content
    model = editable(content)
    graph = model.subgraphs[0]
    levels = int(graph.inputs[0])
    name = graph.tensors[levels].name
    graph.tensors[levels].name = name + b"/levels"
    # Each new tensor is a copy of the input; the first is what clients see, under its name.
    numbers = [_tensor(model, graph, levels, name if not i else name + b"/scaled") for i in range(len(steps))]
    operators = []
    outputs = [*numbers[1:], levels]
    for (code, kind, options, value, _, suffix), number, output in zip(steps, numbers, outputs, strict=True):
        operator = schema.OperatorT()
        operator.opcodeIndex = _opcode(model, code)
        constant = _tensor(model, graph, levels, name + b"/" + suffix, value)
        operator.inputs, operator.outputs = np.array([number, constant], np.int32), np.array([output], np.int32)
        operator.builtinOptionsType, operator.builtinOptions = kind, options()
        operators.append(operator)
    graph.operators = [*operators, *graph.operators]
    graph.inputs = np.array([numbers[0]], np.int32)
    for signature in model.signatureDefs or []:
        for given in signature.inputs:
            given.tensorIndex = numbers[0]
    return pack(model)


def _tensor(model: Any, graph: Any, like: int, name: bytes, value: float | None = None) -> int:
    """Add a tensor like the input, or a scalar with a value, and return its number."""
    tensor = copy.copy(graph.tensors[like])
    tensor.name = name
    tensor.buffer = 0  # the empty buffer of all computed tensors
    if value is not None:
        tensor.shape, tensor.shapeSignature = np.array([], np.int32), None
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.float32(value).tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _opcode(model: Any, wanted: int) -> int:
    """Return the index of an operation's first version among the model's operator codes, adding it if it is absent."""
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == wanted and code.version == 1:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = wanted
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
