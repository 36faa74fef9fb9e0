"""What every group of settings has, and how a tree of groups becomes flat properties and a tree again."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of every group: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def flatten(settings: Settings, prefix: str = "") -> dict[str, Any]:
    """Leaves of the tree by their dotted name with `_` for the dots: `{"head_units": [256, 128], ...}`.

    Returns:
        Only int, float, str, bool and lists of them, as execution properties can be; fields that are None are left out.
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
    """The settings that `flatten` took apart; keys of other settings in `flat` are left alone."""
    values: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            values[name] = unflatten(field.annotation, flat, f"{prefix}{name}_")
        elif prefix + name in flat:
            values[name] = flat[prefix + name]
    return cls(**values)
