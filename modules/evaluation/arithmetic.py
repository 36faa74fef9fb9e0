"""Say on which arithmetic an edge variant was measured, and judge it on the one that it was not measured on.

All variants are measured on a CPU. GPUs and NPUs compute the floating-point variants in half precision by default,
with any file: `float16` is refused if that overflows or changes its answers, because it is the file for such hardware.
`float32` and `dynamic` keep their blessing, which is for CPUs, and carry the finding.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from absl import logging

from edgetune.modules.core.errors import EdgetuneError
from edgetune.modules.core.progress import report
from edgetune.modules.litert.graph import UnsupportedOperation
from edgetune.modules.litert.half_precision import LARGEST, HalfPrecision, measure

IMAGES = 16
"""Number of test images that half precision is emulated on."""
MEASURED_IN = {
    "float32": "CPU, float32",
    "float16": "CPU, float32 with weights of 16 bits",
    "dynamic": "CPU, 8-bit weights, sums in 32 bits",
    "int8": "CPU, 8-bit integers, sums in 32 bits",
}
"""Arithmetic of the interpreter in which accuracy and agreement are measured."""
_INTEGERS = "int8"
_FOR_HALF_PRECISION = "float16"
_REMEDY = "leave float16 out of edge.variants, or choose another model.backbone"


def judge(name: str, content: bytes, images: np.ndarray, min_agreement: float) -> tuple[dict[str, Any], list[str]]:
    """Judge a variant in half precision.

    Args:
        name: `float32`, `float16`, `int8` or `dynamic`.
        content: A model that the interpreter runs.
        images: Test images `[N, S, S, 3]`, as the model takes them; the first `IMAGES` are used.
        min_agreement: Share of the images that must keep their class; a single one may change in any case.

    Returns:
        The variant's `arithmetic` in `metrics.json` and `bundle.json`, and the reasons to refuse it. The former has
        `measured_in`, and `half_precision`: None for `int8`, which has no floating-point sums, else `safe` (None if it
        is not known), `problem` (one sentence, or None), and if it was measured `limit` and the fields of
        `HalfPrecision`, None for numbers that are not finite.
    """
    facts: dict[str, Any] = {"measured_in": MEASURED_IN.get(name, "CPU"), "half_precision": None}
    if name == _INTEGERS:
        return facts, []
    if not len(images):
        facts["half_precision"] = {"safe": None, "problem": "there are no test images"}
        return facts, []
    report(f"edge evaluation: {name} in half precision")
    try:
        found = measure(content, images[:IMAGES])
    except (UnsupportedOperation, EdgetuneError) as error:
        problem: str | None = f"cannot be emulated in half precision: {error}"
        facts["half_precision"] = {"safe": None, "problem": problem}
    else:
        problem = _problem(found, min_agreement)
        measured = {key: _number(value) for key, value in dataclasses.asdict(found).items()}
        facts["half_precision"] = {"safe": problem is None, "problem": problem, "limit": LARGEST, **measured}
    if problem is None:
        return facts, []
    if name == _FOR_HALF_PRECISION:
        return facts, [f"{problem}; {_REMEDY}"]
    logging.warning("edge variant %s: %s; do not run it on a GPU or NPU in 16 bits", name, problem)
    return facts, []


def _problem(found: HalfPrecision, min_agreement: float) -> str | None:
    if found.overflows:
        where = f"{found.operation} sums up to {found.largest_sum:,.0f}"
        if found.largest_sum <= LARGEST:
            where = f"its values reach {found.largest_value:,.0f}"
        return f"overflows in half precision: {where}, over {LARGEST:,.0f}"
    if not found.finite:
        return "gives answers that are not finite numbers when emulated in half precision"
    if found.changed > max(1, (1 - min_agreement) * found.images):
        return f"names another class for {found.changed} of {found.images} test images when emulated in half precision"
    return None


def _number(value: Any) -> Any:
    """Return None for infinity and NaN, which JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
