"""What is inside a value of the notebook, found without running any of its code; in the kernel.

For completion and suggestions: a property, a ``__getattr__`` or a mapping of one's own is not
asked.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from types import BuiltinFunctionType, MemberDescriptorType, ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.attributes import own_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_plain", "is_scalar", "leaves", "members"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None), list, tuple, dict, set, frozenset)
_SCALAR = (bool, int, float, complex, str, bytes, type(None))
_CODE = (ModuleType, BuiltinFunctionType, staticmethod, classmethod)
_MOST = 50
_EMPTY = object()


def is_plain(value: object) -> bool:
    """Whether a value is a number, text or a container: what people override from a line."""
    return issubclass(type(value), _PLAIN)


def is_scalar(value: object) -> bool:
    """Whether a value is a number, text or None: equal ones may be one object by chance."""
    return issubclass(type(value), _SCALAR)


def members(value: object) -> dict[str, Any]:
    """Return what a path may step to, as it is written behind the dot."""
    kind = type(value)
    if kind.__module__.partition(".")[0] == "omegaconf":
        return members(_unresolved(value))
    if issubclass(kind, _SCALAR) or kind.__name__ == "Tensor":
        return {}
    found: dict[str, Any] = {}
    if issubclass(kind, dict):
        pairs = itertools.islice(dict.items(value), _MOST)  # pyright: ignore[reportArgumentType]
        found.update((k, v) for k, v in pairs if type(k) is str and k.isidentifier())
    elif issubclass(kind, list):
        items = list.__iter__(value)  # pyright: ignore[reportArgumentType]
        found.update((str(at), item) for at, item in zip(range(_MOST), items, strict=False))
    attributes = _attributes(value)
    modules = attributes.get("_modules")  # of a torch.nn.Module
    for source in (attributes, modules if type(modules) is dict else {}):
        for name, inner in source.items():
            if type(name) is str and not name.startswith("_"):
                found.setdefault(name, inner)
    return found


def leaves(value: object, path: str, depth: int = 3) -> Iterator[str]:
    """Yield the dotted paths of numbers, texts and lists inside a value."""
    if issubclass(type(value), (ModuleType, type)) and depth < 3:
        return
    for name, inner in members(value).items():
        if is_plain(inner) and type(inner) is not dict:
            yield f"{path}.{name}"
        if depth > 1 and not issubclass(type(inner), (list, tuple)):
            yield from leaves(inner, f"{path}.{name}", depth - 1)


def _attributes(value: object) -> dict[str, Any]:
    kind = type(value)
    if issubclass(kind, ModuleType):
        if value.__name__.partition(".")[0] in sys.stdlib_module_names:  # type: ignore[attr-defined]
            return {}
        return {n: v for n, v in _dict(value).items() if is_plain(v)}
    if issubclass(kind, type):
        found = dict(type.__dict__["__dict__"].__get__(value))
        return {n: v for n, v in found.items() if not _is_code(v)}
    found = _dict(value)
    for cls in reversed(type.mro(kind)):
        for name, slot in type.__dict__["__dict__"].__get__(cls).items():
            if (
                type(slot) is MemberDescriptorType
                and cls.__module__.partition(".")[0] not in sys.stdlib_module_names
            ):
                inner = _slot(slot, value)
                if inner is not _EMPTY:
                    found.setdefault(name, inner)
    return found


def _dict(value: object) -> dict[str, Any]:
    """Return a copy of an instance's ``__dict__``, if that is the usual one."""
    if type(inspect.getattr_static(type(value), "__dict__", None)) is property:
        return {}
    try:
        return dict(own_dict(value))
    except Exception:
        return {}


def _slot(slot: MemberDescriptorType, value: object) -> object:
    try:
        return slot.__get__(value)
    except AttributeError:
        return _EMPTY


def _is_code(value: object) -> bool:
    return issubclass(type(value), _CODE) or hasattr(type(value), "__get__")


def _unresolved(value: object) -> object:
    """Return an OmegaConf's content as plain containers; its interpolations are not run."""
    try:
        library: Any = sys.modules["omegaconf"]
        return library.OmegaConf.to_container(value, resolve=False)
    except Exception:
        return None
