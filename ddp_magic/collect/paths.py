"""How to get from a variable to an object inside its value, as Python says it; in the kernel."""

from __future__ import annotations

import functools
import types
from collections import deque
from typing import TYPE_CHECKING, Any

from ddp_magic.attributes import own_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["path_to"]

_STEPS = 100_000
"""How many objects are looked at for the way to a culprit."""

_OF_MODULES = ("_modules", "_parameters", "_buffers")
"""Where a `torch.nn.Module` keeps what its attributes are."""


def path_to(name: str, root: Any, culprit: object) -> str | None:
    """Return the way from a variable to an object, as ``trainer.pool['a'][0]``; None if unknown."""
    seen = {id(root)}
    waiting = deque([(name, root)])
    for _ in range(_STEPS):
        if not waiting:
            return None
        path, obj = waiting.popleft()
        if obj is culprit:
            return path
        for step, child in _children(obj):
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append((path + step if "\0" not in step else _around(path, step), child))
    return None


def _around(path: str, step: str) -> str:
    before, _, after = step.partition("\0")
    return before + path + after


def _children(obj: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds, without running its code; NUL stands for the way to it."""
    if isinstance(obj, dict):
        yield from _items(obj)
    elif isinstance(obj, (list, tuple, deque)):
        yield from ((f"[{index}]", item) for index, item in enumerate(list(obj)))
    elif isinstance(obj, (set, frozenset)):
        yield from ((f"list(\0)[{index}]", item) for index, item in enumerate(list(obj)))
    elif isinstance(obj, types.MethodType):
        yield ".__self__", obj.__self__
        yield ".__func__", obj.__func__
    elif isinstance(obj, functools.partial):
        yield from ((f".args[{index}]", item) for index, item in enumerate(obj.args))
        yield from ((f".keywords[{_shown(key)}]", item) for key, item in obj.keywords.items())
    elif isinstance(obj, types.FunctionType):
        yield from _captured(obj)
    if isinstance(obj, type):
        yield from _members(obj)
    elif not isinstance(obj, types.ModuleType):
        yield from _attributes(obj)
        yield "type(\0)", type(obj)


def _items(obj: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    for index, (key, value) in enumerate(list(obj.items())):
        yield f"[{_shown(key)}]" if _is_plain(key) else f"[list(\0)[{index}]]", value
        if not _is_plain(key):
            yield f"list(\0)[{index}]", key


def _captured(func: types.FunctionType) -> Iterator[tuple[str, Any]]:
    code = func.__code__
    for name, cell in zip(code.co_freevars, func.__closure__ or (), strict=False):
        try:
            yield f"'s variable {name}", cell.cell_contents
        except ValueError:
            continue
    defaults = func.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount][-len(defaults) :] if defaults else ()
    named = zip(names, defaults, strict=False)
    for name, default in (*named, *(func.__kwdefaults__ or {}).items()):
        yield f"'s default for {name}", default


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    if cls.__module__ != "__main__":
        return
    for name, member in list(vars(cls).items()):
        if isinstance(member, property):
            yield from ((f".{name}", part) for part in (member.fget, member.fset) if part)
        else:
            yield f".{name}", getattr(member, "__func__", member)


def _attributes(obj: Any) -> Iterator[tuple[str, Any]]:
    try:
        own = own_dict(obj)
    except AttributeError:
        own = None
    if isinstance(own, dict):
        for name, value in list(own.items()):
            if name in _OF_MODULES and isinstance(value, dict):
                yield from ((f"[{n}]" if n.isdigit() else f".{n}", v) for n, v in value.items())
            else:
                yield f".{name}", value
    for cls in type(obj).__mro__:
        for name, member in vars(cls).items():
            if isinstance(member, types.MemberDescriptorType) and cls.__module__ != "builtins":
                try:
                    yield f".{name}", member.__get__(obj)
                except AttributeError:
                    continue


def _is_plain(key: Any) -> bool:
    return isinstance(key, (str, int, float, bytes, bool))


def _shown(key: Any) -> str:
    return repr(key) if _is_plain(key) else "..."
