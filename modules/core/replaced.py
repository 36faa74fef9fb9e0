"""Replace a library's attribute for a while, where it offers no option for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set `owner.name` to `value` and restore it on leaving.

    Args:
        owner: A module, class or object that has the attribute itself, not by inheritance.
        name: The attribute.
        value: Its value inside.
    """
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
