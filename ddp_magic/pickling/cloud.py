"""The private names of cloudpickle that we build on, all in one place; kernel and workers.

They have stood since cloudpickle 3.1; a test holds them against what we expect of each.
"""
# ruff: noqa: SLF001 - that is what this file is for

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, cast

from cloudpickle import cloudpickle

if TYPE_CHECKING:
    from types import CodeType

__all__ = [
    "class_for",
    "code_globals",
    "is_class",
    "is_enum",
    "known_class",
    "reduce_class",
    "reduce_code",
    "reduce_type_variable",
    "registered_with",
    "set_class",
]

_private: Any = cloudpickle


def reduce_class(cls: type) -> Any:
    """Return how cloudpickle writes a class; NotImplemented where it refers to it."""
    return _private._class_reduce(cls)


def is_class(reduced: Any) -> bool:
    """Whether the class would be written whole."""
    return reduced[0] is _private._make_skeleton_class


def is_enum(reduced: Any) -> bool:
    """Whether the class would be written whole, as an Enum."""
    return reduced[0] is _private._make_skeleton_enum


def set_class(made: type, state: tuple[Any, ...]) -> None:
    """Fill a class."""
    _private._class_setstate(made, state)


def reduce_type_variable(variable: Any) -> Any:
    """Return how cloudpickle writes a `typing.TypeVar`."""
    return _private._typevar_reduce(variable)


def known_class(tracker: str) -> type | None:
    """Return the class that was written or made here under this tracker."""
    return _private._DYNAMIC_CLASS_TRACKER_BY_ID.get(tracker)


def class_for(tracker: str, made: type) -> type:
    """Remember a class under its tracker and return the one that holds it."""
    return _private._lookup_class_or_track(tracker, made)


def reduce_code(code: CodeType) -> Any:
    """Return how cloudpickle writes a code object."""
    return _private._code_reduce(code)


def code_globals(code: CodeType) -> dict[str, None]:
    """Return the names that the code looks up in its globals, nested code too."""
    return _private._extract_code_globals(code)


def registered_with(cls: abc.ABCMeta) -> bool:
    """Whether other classes were registered with an abstract class."""
    registry, *_ = cast("Any", abc)._get_dump(cls)
    return any(subclass() is not None for subclass in registry)
