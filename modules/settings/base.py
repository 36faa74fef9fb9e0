"""Base class of settings, and conversion of a settings tree to flat execution properties and back."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgetune.modules.core.errors import ConfigError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Between = Annotated[float, Field(gt=0.0, lt=1.0)]
"""A fraction that is neither 0 nor 1."""
Positive = Annotated[int, Field(ge=1)]

S = TypeVar("S", bound="Settings")


class Contradiction(ValueError):
    """Settings that exclude each other.

    Args:
        cause: Which settings, and why.
        remedy: What to set instead.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.remedy = remedy


class Settings(BaseModel):
    """Base class of all groups of settings: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def filled(settings: S, defaults: dict[str, Any]) -> S:
    """Return settings with other defaults for the fields that were not given; a dictionary is for a group of fields."""
    update = {
        name: filled(getattr(settings, name), value) if isinstance(value, dict) else value
        for name, value in defaults.items()
        if isinstance(value, dict) or name not in settings.model_fields_set
    }
    return settings.model_copy(update=update)


def flatten(settings: Settings, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of the tree by their dotted name with `_` for the dots: `{"head_units": [256, 128], ...}`.

    Returns:
        Only int, float, str, bool and lists of these, which execution properties can hold; None values are left out.
    """
    flat: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            flat.update(flatten(value, f"{prefix}{name}_"))
        elif value is not None:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat


def unflatten(cls: type[S], flat: dict[str, Any], prefix: str = "") -> S:
    """Rebuild the settings that `flatten` flattened; keys of other settings in `flat` are ignored.

    Raises:
        ConfigError: A value is not allowed, which can happen because users of a platform may change some per run.
    """
    values: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            values[name] = unflatten(field.annotation, flat, f"{prefix}{name}_")
        elif prefix + name in flat:
            value = flat[prefix + name]
            values[name] = as_list(value) if get_origin(field.annotation) is tuple else value
    try:
        return cls(**values)
    except ValidationError as error:
        wrong = [f"{prefix}{'_'.join(map(str, e['loc']))} is {e['input']!r}: {e['msg']}" for e in error.errors()]
        raise ConfigError("; ".join(wrong), "`edgetune config --reference` lists the allowed values") from None


def as_list(value: Any) -> list[Any]:
    """Convert an execution property to a list: TFX on Kubeflow and Vertex passes lists as JSON."""
    return list(json.loads(value) if isinstance(value, str) else value)
