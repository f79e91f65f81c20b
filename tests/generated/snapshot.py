"""The object graph below a namespace: whether it changed, and what kinds of things it holds."""

from __future__ import annotations

import contextlib
import types
from collections import Counter
from collections.abc import Iterator
from typing import Any

__all__ = ["Snapshot"]

_LAZY = {"__annotations__", "__slotnames__", "__annotations_cache__", "__annotate_func__"}


class Snapshot:
    """Who holds whom, by identity; holds everything, so that no identity is used again."""

    def __init__(self, roots: dict[str, Any]) -> None:
        self._names = {name: id(value) for name, value in roots.items()}
        self._held: dict[int, Any] = {}
        self._edges: dict[int, tuple[Any, ...]] = {}
        waiting = list(roots.values())
        while waiting:
            obj = waiting.pop()
            if id(obj) in self._held:
                continue
            self._held[id(obj)] = obj
            children = list(_children(obj))
            self._edges[id(obj)] = tuple((label, id(child)) for label, child in children)
            waiting.extend(child for _, child in children)

    def changes(self, later: Snapshot) -> list[str]:
        """Say what is no longer as it was."""
        found = [
            f"{name} is another object"
            for name in self._names.keys() | later._names.keys()
            if self._names.get(name) != later._names.get(name)
        ]
        for key, edges in self._edges.items():
            now = later._edges.get(key, edges)
            if now != edges:
                obj = self._held[key]
                before, after = dict(edges), dict(now)
                labels = [n for n in {**before, **after} if before.get(n) != after.get(n)]
                name = getattr(obj, "__qualname__", "") if isinstance(obj, type) else ""
                found.append(f"a {type(obj).__name__} {name} has changed: {labels or 'order'}")
        return found

    def facts(self, space: dict[str, Any]) -> Counter[str]:
        """Count what there is of the kinds that are hard to send, in this namespace."""
        found: Counter[str] = Counter()
        cells: Counter[int] = Counter()
        parents: Counter[int] = Counter()
        for key, obj in self._held.items():
            parents.update(child for _, child in self._edges[key])
            kind = type(obj)
            if isinstance(obj, types.FunctionType):
                found["function"] += 1
                found["closure"] += bool(obj.__closure__)
                cells.update(map(id, obj.__closure__ or ()))
                found["function with attributes"] += bool(obj.__dict__)
                found["function of another namespace"] += obj.__globals__ is not space
            elif isinstance(obj, type):
                found["class"] += 1
                found["class that no name has"] += space.get(obj.__name__) is not obj
                found["class with a metaclass"] += kind is not type
                found["class with a base here"] += any(
                    b.__module__ == "__main__" for b in obj.__bases__
                )
            elif kind.__module__ == "__main__":
                found["instance"] += 1
                found["instance of no named class"] += space.get(kind.__name__) is not kind
            elif isinstance(obj, types.MethodType):
                found["bound method"] += 1
        found["shared cell"] = sum(n > 1 for n in cells.values())
        shared = (id_ for id_, n in parents.items() if n > 1 and id_ in self._held)
        found["shared container"] = sum(isinstance(self._held[i], (list, dict)) for i in shared)
        return +found


def _children(obj: Any) -> Iterator[tuple[str, Any]]:
    kind = type(obj)
    if isinstance(obj, types.FunctionType) and obj.__module__ == "__main__":
        for name in ("__code__", "__defaults__", "__kwdefaults__", "__doc__", "__name__"):
            yield name, getattr(obj, name)
        yield from ((f"annotation {n}", v) for n, v in obj.__annotations__.items())
        for number, cell in enumerate(obj.__closure__ or ()):
            yield f"cell {number}", cell
        yield from ((f".{n}", v) for n, v in obj.__dict__.items())
    elif kind is types.CellType:
        with contextlib.suppress(ValueError):
            yield "content", obj.cell_contents
    elif isinstance(obj, type) and obj.__module__ == "__main__":
        for name, value in list(type.__getattribute__(obj, "__dict__").items()):
            if name not in _LAZY or (value and name == "__annotations__"):
                yield f".{name}", value
        yield from ((f"base {n}", b) for n, b in enumerate(obj.__bases__))
    elif isinstance(obj, (staticmethod, classmethod)):
        yield "__func__", obj.__func__
    elif isinstance(obj, property):
        yield from (("fget", obj.fget), ("fset", obj.fset))
    elif isinstance(obj, types.MethodType):
        yield from (("self", obj.__self__), ("func", obj.__func__))
    elif not isinstance(obj, (type, types.ModuleType, types.BuiltinFunctionType)):
        yield from _content(obj)


def _content(obj: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(obj, dict):
        for number, (key, value) in enumerate(list(dict.items(obj))):
            yield f"key {number}", key
            yield f"item {number}", value
    elif isinstance(obj, list):
        yield from ((f"[{n}]", v) for n, v in enumerate(list.__iter__(obj)))
    elif isinstance(obj, (tuple, set, frozenset)):
        yield from ((f"[{n}]", v) for n, v in enumerate(type(obj).__mro__[-2].__iter__(obj)))
    if type(obj).__module__ == "__main__":
        yield "class", type(obj)
        try:
            held = object.__getattribute__(obj, "__dict__")
        except AttributeError:
            held = {}
        yield from ((f".{n}", v) for n, v in list(held.items()))
        for cls in type(obj).__mro__:
            for name, member in vars(cls).items():
                if isinstance(member, types.MemberDescriptorType):
                    try:
                        yield f".{name}", member.__get__(obj)
                    except AttributeError:
                        continue
