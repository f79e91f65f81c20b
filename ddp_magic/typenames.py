"""Types known by their names, so that nothing is imported to know them; in kernel and workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["entry", "type_name", "type_names"]

T = TypeVar("T")


def type_name(kind: type) -> str:
    """Return the full name of a type."""
    return f"{kind.__module__}.{kind.__qualname__}"


def type_names(kind: type) -> list[str]:
    """Return the full names of a type and of all that it is made of."""
    return [type_name(each) for each in kind.__mro__]


def entry(table: Mapping[str, T], kind: type) -> T | None:
    """Return what a table has for a type, or for the nearest of all that it is made of."""
    return next((table[name] for name in type_names(kind) if name in table), None)
