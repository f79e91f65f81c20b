"""Strings that a collected value holds: code may look names up by them; runs in the kernel."""

from __future__ import annotations

import inspect
from collections import deque
from typing import TYPE_CHECKING, Any

from ddp_magic.attributes import own_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FunctionType

__all__ = ["annotations_of", "defaults_of", "strings_in"]

_MOST = 500
"""Objects that are looked at: a configuration is small, a vocabulary names no functions."""

_GROUPS = (list, tuple, set, frozenset)
_WITHOUT = frozenset({bool, bytes, complex, float, int, type(None)})


def strings_in(value: Any) -> Iterator[str]:
    """Yield the strings in plain containers and attributes, ``{"optimizer": "SGD"}``."""
    waiting: deque[Any] = deque([value])
    seen: set[int] = set()
    while waiting and len(seen) < _MOST:
        item = waiting.popleft()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting.extend(list(item.values())[:_MOST])
        elif isinstance(item, _GROUPS):
            waiting.extend(list(item)[:_MOST])
        elif isinstance(item, type) or type(item) in _WITHOUT:
            continue
        elif isinstance(own := _attributes(item), dict):
            waiting.append(own)


def defaults_of(functions: Iterable[FunctionType]) -> list[Any]:
    """Return what parameters have by default, without numbers."""
    given = (
        d for f in functions for d in (f.__defaults__ or (), (f.__kwdefaults__ or {}).values())
    )
    return [value for group in given for value in group if type(value) not in _WITHOUT]


def annotations_of(obj: object, *functions: FunctionType) -> list[Any]:
    """Return all annotations; `typing.get_type_hints` looks up what strings among them name."""
    own = inspect.get_annotations(obj) if isinstance(obj, type) else {}
    return [
        each for found in (own, *(f.__annotations__ for f in functions)) for each in found.values()
    ]


def _attributes(item: Any) -> Any:
    try:
        return own_dict(item)
    except AttributeError:
        return None
