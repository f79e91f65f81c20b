"""Why something of the notebook cannot be sent, in the notebook's terms; runs in the kernel."""

from __future__ import annotations

import functools
import types
from collections import deque
from typing import TYPE_CHECKING, Any

from ddp_magic.masking import mask_text
from ddp_magic.pickling import CannotTravel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddp_magic.collect.segments import WriteError

__all__ = ["explain", "path_to"]

_STEPS = 100_000
"""How many objects are looked at for the way to a culprit."""


def explain(name: str, value: Any, error: WriteError, cell: str) -> str:
    """Say in two sentences what cannot be sent, where it is, and what to do.

    Args:
        name: The notebook's variable.
        value: What it holds.
        error: What went wrong with it.
        cell: The cell that it was assigned in, or an empty string.
    """
    path = mask_text(path_to(name, value, error.culprit) or name)
    where = f"{name} was assigned in {cell}" if cell and path != name else f"assigned in {cell}"
    where = f" ({where})" if cell else ""
    cause = error.cause
    if isinstance(cause, CannotTravel):
        return f"{path}{where} is {cause.what}, which no worker can have. {cause.remedy}."
    kind = type(error.culprit if path != name else value)
    reason = mask_text(f"{type(cause).__name__}: {cause}".rstrip(".: "))
    return (
        f"{path}{where} is a {kind.__qualname__} that cannot be pickled ({reason}). "
        "Make it inside the %%ddp cell, or give its class a __reduce__."
    )


def path_to(name: str, root: Any, culprit: object) -> str | None:
    """Return how to get from a variable to an object inside it, as ``trainer.pool['a'][0]``."""
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
                waiting.append((path + step, child))
    return None


def _children(obj: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds, without running its code."""
    if isinstance(obj, dict):
        for key, value in list(obj.items()):
            yield f"[{_shown(key)}]", value
    elif isinstance(obj, (list, tuple, deque)):
        yield from ((f"[{index}]", item) for index, item in enumerate(list(obj)))
    elif isinstance(obj, (set, frozenset)):
        yield from (("{...}", item) for item in list(obj))
    elif isinstance(obj, types.MethodType):
        yield ".__self__", obj.__self__
        yield ".__func__", obj.__func__
    elif isinstance(obj, functools.partial):
        yield from ((f".args[{index}]", item) for index, item in enumerate(obj.args))
        yield from ((f".keywords[{_shown(key)}]", item) for key, item in obj.keywords.items())
    elif isinstance(obj, types.FunctionType):
        yield from _captured(obj)
    if not isinstance(obj, (types.ModuleType, type)):
        yield from _attributes(obj)


def _captured(func: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(func.__code__.co_freevars, func.__closure__ or (), strict=False):
        try:
            yield f" (its variable {name})", cell.cell_contents
        except ValueError:
            continue
    yield from ((f".__defaults__[{i}]", v) for i, v in enumerate(func.__defaults__ or ()))


def _attributes(obj: Any) -> Iterator[tuple[str, Any]]:
    try:
        own = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        own = None
    if isinstance(own, dict):
        yield from ((f".{name}", value) for name, value in list(own.items()))
    for cls in type(obj).__mro__:
        for name, member in vars(cls).items():
            if isinstance(member, types.MemberDescriptorType) and cls.__module__ != "builtins":
                try:
                    yield f".{name}", member.__get__(obj)
                except AttributeError:
                    continue


def _shown(key: Any) -> str:
    return repr(key) if isinstance(key, (str, int, float, bytes, bool)) else "..."
