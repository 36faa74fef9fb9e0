"""Split the global average pools of a LiteRT model in two, so that no accelerator sums too many values at once.

Many GPUs and NPUs sum in half precision (IEEE 754 binary16), whose largest value is 65,504, and whose steps above 2,048
are 2 and more: the sum of a feature map overflows, or stops growing, long before its mean is large. LiteRT's own GPU
backend answers NaN for such a sum (https://github.com/google-ai-edge/LiteRT/issues/9249).

A pool over `h x w` values becomes an AVERAGE_POOL_2D over each row and a MEAN over the `h` results, with sums of `w`
and of `h` values. Two MEANs, over one axis each, would not do: LiteRT's OpenGL backend has MEAN only over both height
and width (tensorflow/lite/delegates/gpu/gl/kernels/mean.cc). The file is changed and not the network, because the
converter may fuse what it can see, and because integer arithmetic sums in 32 bits: `int8` keeps its single MEAN.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgetune.modules.litert.flatbuffer import editable, pack

LARGEST_POOL = 64
"""Number of values that may be summed at once: a half then overflows only if their mean exceeds 1,023, and rounding
after each addition costs at most 64 x 2^-11, 3 %. The last feature map of most networks, 7 x 7, is not larger."""
_HEIGHT_AND_WIDTH = (1, 2)
_Op = schema.BuiltinOperator


def two_step_pools(content: bytes) -> bytes:
    """Return a model whose float32 means over more than `LARGEST_POOL` pixels are taken in two steps.

    Args:
        content: A LiteRT model.

    Returns:
        A model that computes the same, except for float32 rounding; the same bytes if it has no such mean.

    Raises:
        ExportError: This is not a LiteRT model.
    """
    model = editable(content)
    changed = False
    for graph in model.subgraphs:
        operators = []
        for operator in graph.operators:
            if _is_large_mean(model, graph, operator):
                operators.append(_row_pool(model, graph, operator))
                changed = True
            operators.append(operator)
        graph.operators = operators
    return pack(model) if changed else content


def _is_large_mean(model: Any, graph: Any, operator: Any) -> bool:
    code = model.operatorCodes[operator.opcodeIndex]
    if max(code.builtinCode, code.deprecatedBuiltinCode) != _Op.MEAN:
        return False
    values, axes = (graph.tensors[number] for number in operator.inputs)
    data = model.buffers[axes.buffer].data
    if values.type != schema.TensorType.FLOAT32 or len(values.shape) != 4 or data is None:
        return False
    over = sorted(np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.int32) % len(values.shape))
    return tuple(over) == _HEIGHT_AND_WIDTH and int(np.prod(values.shape[1:3])) > LARGEST_POOL


def _row_pool(model: Any, graph: Any, mean: Any) -> Any:
    """Return an operator that averages each row of a MEAN's input, and let the MEAN read its output."""
    before = graph.tensors[mean.inputs[0]]
    after = copy.copy(before)
    _, _, width, _ = before.shape
    after.name = before.name + b"/rows"
    after.shape = _one_wide(before.shape)
    after.shapeSignature = None if before.shapeSignature is None else _one_wide(before.shapeSignature)
    after.buffer = 0  # the empty buffer of all computed tensors
    graph.tensors.append(after)

    options = schema.Pool2DOptionsT()
    options.padding = schema.Padding.VALID
    options.filterHeight = options.strideH = 1
    options.filterWidth = options.strideW = int(width)
    pool = schema.OperatorT()
    pool.opcodeIndex = _opcode(model)
    pool.inputs = np.array([mean.inputs[0]], np.int32)
    pool.outputs = np.array([len(graph.tensors) - 1], np.int32)
    pool.builtinOptionsType, pool.builtinOptions = schema.BuiltinOptions.Pool2DOptions, options
    mean.inputs = np.array([pool.outputs[0], *mean.inputs[1:]], np.int32)
    return pool


def _one_wide(shape: np.ndarray) -> np.ndarray:
    return np.array([*shape[:2], 1, *shape[3:]], np.int32)


def _opcode(model: Any) -> int:
    """Return the index of AVERAGE_POOL_2D among the model's operator codes, adding it if it is absent."""
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == _Op.AVERAGE_POOL_2D:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = _Op.AVERAGE_POOL_2D
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
