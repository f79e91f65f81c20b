"""Follows an override's dotted path through what the notebook holds; runs in the kernel.

Every step is an attribute, a key or an index that is there. Nothing is set here: workers run the
assignment that `Place.code` is the left side of.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.errors import OverrideError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UNKNOWN", "Missing", "Place", "follow", "is_field", "note_of_field", "read_static"]

UNKNOWN = inspect.Parameter.empty
"""A value that is not known without running code of the user's."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a path leads to.

    Attributes:
        path: As it is written: ``cfg.optim.lr``.
        code: As Python has it: ``cfg["optim"].lr``.
        holder: The object that is changed.
        key: The attribute's name, the key or the index.
        item: Whether it is an item and no attribute.
        old: What is there now.
        modules: The last module on the way, which importing the first one may not import.
    """

    path: str
    code: str
    holder: Any
    key: str | int
    item: bool
    old: object
    modules: tuple[str, ...] = ()

    @property
    def holder_path(self) -> str:
        """The path of the object that is changed."""
        return self.path.rpartition(".")[0]

    @property
    def holder_code(self) -> str:
        """The same as Python has it."""
        end = f"[{_quoted(self.key)}]" if self.item else f".{self.key}"
        return self.code.removesuffix(end)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Where a path breaks off.

    Attributes:
        path: As far as it leads.
        value: What is there.
        name: The step that is not.
    """

    path: str
    value: object
    name: str


@dataclass(frozen=True, kw_only=True)
class _Step:
    key: str | int
    item: bool
    value: object

    @property
    def code(self) -> str:
        return f"[{_quoted(self.key)}]" if self.item else f".{self.key}"


def follow(written: str, user_ns: dict[str, Any]) -> Place | Missing:
    """Follow a path from the notebook's variable at its head.

    Raises:
        OverrideError: An attribute and a key of one name hold different things.
    """
    root, *names = written.split(".")
    value: Any = user_ns[root]
    path = code = root
    modules: list[str] = []
    for at, name in enumerate(names):
        step = _step(value, name, path)
        if step is None:
            return Missing(path=path, value=value, name=name)
        path, code = f"{path}.{name}", code + step.code
        if at == len(names) - 1:
            return Place(
                path=path,
                code=code,
                holder=value,
                key=step.key,
                item=step.item,
                old=step.value,
                modules=tuple(modules[-1:]),
            )
        value = getattr(value, name) if step.value is UNKNOWN else step.value
        if isinstance(value, ModuleType):
            modules.append(value.__name__)
    raise AssertionError(f"{written} is no path")


def _step(holder: Any, name: str, path: str) -> _Step | None:
    found = [*_items(holder, name), *_attributes(holder, name)]
    if len(found) > 1 and not _is_one_thing(holder, found):
        ways = [f"{path}{step.code}" for step in found]
        raise OverrideError(
            f"{path}.{name} could mean {' or '.join(ways)}, which differ. "
            f"Set the one that is meant in a cell ({ways[0]} = ...)."
        )
    return found[0] if found else None


def _is_one_thing(holder: Any, found: list[_Step]) -> bool:
    """Whether attribute and key are two ways to one value, as in an attribute dict."""
    first, second, *more = found
    if more or not (first.item and not second.item) or first.value is not second.value:
        return False
    kind = type(holder)
    own = any(name in vars(c) for c in kind.__mro__[:-1] for name in ("__setattr__", "__getattr__"))
    return own or getattr(holder, "__dict__", None) is holder


def _items(holder: Any, name: str) -> Iterator[_Step]:
    try:
        if _is_mapping(holder):
            keys = [name, *([int(name)] if name.isdecimal() else [])]
            # `in` first: reading a defaultdict's missing key would add it
            yield from [_Step(key=k, item=True, value=holder[k]) for k in keys if k in holder]
        elif name.isdecimal() and _has(holder, "__getitem__") and int(name) < len(holder):
            yield _Step(key=int(name), item=True, value=holder[int(name)])
    except Exception:  # a user's __contains__, __len__ or __getitem__
        return


def _attributes(holder: Any, name: str) -> Iterator[_Step]:
    if not name.isidentifier() or (name.startswith("__") and name.endswith("__")):
        return
    static = read_static(holder, name)
    if static is UNKNOWN and (_is_mapping(holder) or not _answers(holder)):
        return
    if _is_mapping(holder) and inspect.isroutine(static):
        return  # dict.items is no setting
    value: object = UNKNOWN
    if not isinstance(static, functools.cached_property):  # reading it would keep the result
        try:
            value = getattr(holder, name)
        except Exception:
            return
    yield _Step(key=name, item=False, value=value)


def read_static(holder: object, name: str) -> object:
    """Return an attribute as it is stored, its descriptor if it has one; `UNKNOWN` without."""
    try:
        return inspect.getattr_static(holder, name, UNKNOWN)
    except Exception:
        return UNKNOWN


def _is_mapping(holder: Any) -> bool:
    if isinstance(holder, (ModuleType, type)):
        return False
    duck = _has(holder, "keys") and _has(holder, "__getitem__") and _has(holder, "__contains__")
    return duck or isinstance(holder, Mapping)


def _answers(holder: Any) -> bool:
    """Whether attributes may be there that are not stored, as a module's parameters in torch."""
    return _has(holder, "__getattr__") or "__getattr__" in getattr(holder, "__dict__", {})


def _has(holder: Any, name: str) -> bool:
    return read_static(type(holder), name) is not UNKNOWN


def _quoted(key: str | int) -> str:
    return f'"{key}"' if isinstance(key, str) else str(key)


def is_field(place: Place) -> bool:
    """Whether it is the class attribute that a dataclass keeps of a field's default."""
    cls = place.holder
    return (
        isinstance(cls, type)
        and dataclasses.is_dataclass(cls)
        and any(field.name == place.key for field in dataclasses.fields(cls))
    )


def note_of_field(place: Place) -> str:
    """Say what an override of a field's default does not change."""
    return (
        f"{place.path} is overridden for code that reads {place.path}; {place.holder_path}() goes "
        f"on filling in {place.key}={place.old!r}, which it took when the class was made."
    )
