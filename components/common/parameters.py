"""Turn settings into typed execution properties, so that ML Metadata records and compares each one."""

from __future__ import annotations

import types
from typing import Annotated, Any, List, Literal, Union, get_args, get_origin  # noqa: UP035 - TFX compares typing.List

from tfx.types.component_spec import ExecutionParameter

from edgetune.modules.settings.run import DataSettings, Settings

READING = {"max_pixels": int, "max_side": int, "background": str}
"""Types of the properties for `modules.images.reading.Reading.of`."""


def reading_properties(data: DataSettings) -> dict[str, Any]:
    """Return how images are read, as execution properties: `max_side` is 0 for none, `background` is `#rrggbb`."""
    return {
        "max_pixels": data.max_pixels,
        "max_side": data.max_side or 0,
        "background": f"#{bytes(data.background).hex()}",
    }


def parameters_of(settings: type[Settings], prefix: str = "") -> dict[str, ExecutionParameter]:
    """Return an execution parameter for each leaf of a settings tree, named as by `modules.settings.run.flatten`."""
    parameters: dict[str, ExecutionParameter] = {}
    for name, field in settings.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Settings):
            parameters.update(parameters_of(annotation, f"{prefix}{name}_"))
        else:
            kind, optional = _plain(annotation)
            parameters[prefix + name] = ExecutionParameter(type=kind, optional=optional)
    return parameters


def _plain(annotation: Any) -> tuple[Any, bool]:
    """Return the TFX parameter type for an annotation, and whether None is allowed."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        (inner,) = [a for a in args if a is not type(None)]
        return _plain(inner)[0], True
    if origin is Annotated:
        return _plain(args[0])
    if origin is Literal:
        return type(args[0]), False
    if origin is tuple:
        return List[_plain(args[0])[0]], False  # type: ignore[misc]  # noqa: UP006
    return annotation, False
