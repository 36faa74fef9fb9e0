"""Inspect a LiteRT flatbuffer, and check that phones can use the model.

The interpreter on this machine runs much that clients on phones reject or, worse, answer wrongly: Flex and custom
operations, a second subgraph, 8-bit inputs with a scale. So the check reads the file itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgetune.modules.core.errors import ExportError

IDENTIFIER = b"TFL3"
# RGB. Not imported from `modules.images.decode`, which imports TensorFlow and takes seconds.
CHANNELS = 3
MIN_RUNTIME = "min_runtime_version"

_OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_DTYPES = {code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
_FLOATS = ("float16", "float32", "float64", "bfloat16")
_CONVERTING = ("QUANTIZE ", "DEQUANTIZE ")


@dataclass(frozen=True)
class Tensor:
    """An input or output tensor of the model."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    """Scale of the per-tensor affine quantization; None if the tensor is not quantized."""
    zero_point: int | None = None


@dataclass(frozen=True)
class Facts:
    """Properties of a LiteRT model, read from its file."""

    subgraphs: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    ops: dict[str, int]
    """Highest version of each operation, by name; custom ones as `CUSTOM:<name>`."""
    float_ops: tuple[str, ...]
    """Operations that read or write a floating-point tensor, except a DEQUANTIZE that writes the model's output."""
    min_runtime: str | None
    """Oldest runtime that supports all operations in these versions, as the converter recorded it."""
    counts: dict[str, int] = field(default_factory=dict)
    """Number of operations by the same names."""

    def operations(self) -> dict[str, dict[str, int]]:
        """Return `count` and highest `version` of each operation, by name, as `bundle.json` has them."""
        return {name: {"count": self.counts.get(name, 0), "version": version} for name, version in self.ops.items()}


def parse(content: bytes) -> Any:
    """Return the file as the schema's object tree, `ModelT`.

    Raises:
        ExportError: This is not a LiteRT model.
    """
    try:
        if content[4:8] != IDENTIFIER:
            raise ValueError(f"begins with {content[:8]!r}")
        return schema.ModelT.InitFromPackedBuf(content, 0)
    except Exception as error:  # a damaged flatbuffer can raise any exception
        raise ExportError(f"this is not a LiteRT model: {error}", "convert the SavedModel again") from None


def inspect(content: bytes) -> Facts:
    """Return the properties of a file.

    Raises:
        ExportError: It is not a LiteRT model.
    """
    model = parse(content)
    codes = [_operator(code) for code in model.operatorCodes or []]
    ops: dict[str, int] = {}
    for name, version in codes:
        ops[name] = max(version, ops.get(name, 0))
    graph = model.subgraphs[0]
    return Facts(
        subgraphs=len(model.subgraphs),
        inputs=tuple(_tensor(graph.tensors[index]) for index in graph.inputs),
        outputs=tuple(_tensor(graph.tensors[index]) for index in graph.outputs),
        ops=dict(sorted(ops.items())),
        float_ops=tuple(found for each in model.subgraphs for found in _float_ops(each, codes)),
        counts=dict(
            sorted(Counter(codes[o.opcodeIndex][0] for g in model.subgraphs for o in g.operators or []).items())
        ),
        min_runtime=_min_runtime(model),
    )


def problems(facts: Facts, variant: str, image_size: int, classes: int) -> list[str]:
    """Return the problems that a variant would cause on phones, one sentence each.

    Args:
        facts: Result of `inspect`.
        variant: `float32`, `float16`, `int8` or `dynamic`.
        image_size: Expected height and width of the input, in pixels.
        classes: Expected length of the output.
    """
    found = []
    if facts.subgraphs != 1:
        found.append(f"has {facts.subgraphs} subgraphs, but clients expect one")
    if custom := [name for name in facts.ops if name.startswith("CUSTOM:")]:
        found.append(f"needs operations that are not built in: {', '.join(custom)}")
    pixels = Tensor("", (1, image_size, image_size, CHANNELS), "float32")
    if variant == "int8":
        pixels = Tensor("", pixels.shape, "uint8", 1.0, 0)
    found += _differences("input", facts.inputs, pixels)
    found += _differences("output", facts.outputs, Tensor("", (1, classes), "float32"))
    if variant == "int8" and facts.float_ops:
        # Conversions between integers and floats are there because of another operation: name that one.
        computing = [name for name in facts.float_ops if not name.startswith(_CONVERTING)] or facts.float_ops
        found.append(f"computes in floating point in {len(computing)} operations, first {computing[0]}")
    return found


def _differences(what: str, tensors: tuple[Tensor, ...], wanted: Tensor) -> list[str]:
    if len(tensors) != 1:
        return [f"has {len(tensors)} {what}s, but clients expect one"]
    [tensor] = tensors
    if _described(tensor) != _described(wanted):
        return [f"{what} is {_described(tensor)}, but must be {_described(wanted)}"]
    return []


def _described(tensor: Tensor) -> str:
    quantized = "" if tensor.scale is None else f" with scale {tensor.scale:g} and zero point {tensor.zero_point}"
    return f"{tensor.dtype} {list(tensor.shape)}{quantized}"


def operator_names(model: Any) -> list[str]:
    """Return the name of each operator code of a `ModelT`; a custom one is `CUSTOM:<name>`."""
    return [_operator(code)[0] for code in model.operatorCodes or []]


def _operator(code: Any) -> tuple[str, int]:
    # Files from before 2020 have the code in the deprecated field only; newer ones have it in both if it fits a byte.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == schema.BuiltinOperator.CUSTOM:
        return f"CUSTOM:{(code.customCode or b'').decode(errors='replace')}", code.version
    return _OPERATORS.get(number, f"UNKNOWN:{number}"), code.version


def _tensor(tensor: Any) -> Tensor:
    quantization = tensor.quantization
    scales = [] if quantization is None or quantization.scale is None else list(quantization.scale)
    points = [] if quantization is None or quantization.zeroPoint is None else list(quantization.zeroPoint)
    shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
    dtype = _DTYPES.get(tensor.type, f"type {tensor.type}")
    name = (tensor.name or b"").decode(errors="replace")
    return Tensor(name, shape, dtype, *((float(scales[0]), int(points[0])) if scales else ()))


def _float_ops(graph: Any, codes: list[tuple[str, int]]) -> list[str]:
    found = []
    for index, operator in enumerate(graph.operators or []):
        name, _ = codes[operator.opcodeIndex]
        written = [] if operator.outputs is None else list(operator.outputs)
        if name == "DEQUANTIZE" and any(tensor in graph.outputs for tensor in written):
            continue
        used = [*([] if operator.inputs is None else operator.inputs), *written]
        tensors = [_tensor(graph.tensors[tensor]) for tensor in used if tensor >= 0]  # -1 is an optional input left out
        if floats := [tensor.name for tensor in tensors if tensor.dtype in _FLOATS]:
            found.append(f"{name} (operation {index}, tensor {floats[0]!r})")
    return found


def _min_runtime(model: Any) -> str | None:
    for entry in model.metadata or []:
        if entry.name == MIN_RUNTIME.encode():
            data = model.buffers[entry.buffer].data
            return None if data is None else bytes(data).rstrip(b"\0").decode(errors="replace") or None
    return None
