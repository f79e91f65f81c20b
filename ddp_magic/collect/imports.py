"""Whether a name is something that a worker gets by an import line; runs in the kernel."""

from __future__ import annotations

import functools
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.pickling.objects import importable, made_by_hand

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddp_magic.collect.history import History

__all__ = ["import_line", "imported_objects"]


def import_line(name: str, obj: Any, history: History) -> str | None:
    """Return an import statement that binds the name to this very object, if there is one."""
    if isinstance(obj, ModuleType) and not _is_importable(obj):
        return None
    for module, attribute in history.imported_from(name):
        if _has(module, attribute, obj):
            return _from(module, attribute, name)
    if isinstance(obj, ModuleType):
        full = obj.__name__
        return f"import {full}" if full == name else f"import {full} as {name}"
    named = isinstance(obj, (type, FunctionType, BuiltinFunctionType)) and importable(obj)
    if named and "." not in obj.__qualname__ and _has(obj.__module__, obj.__qualname__, obj):
        return _from(obj.__module__, obj.__qualname__, name)
    return None


def imported_objects(
    space: dict[str, Any], history: History, emit: Callable[[str], bool]
) -> dict[int, Callable[[], str]]:
    """Return, by id, the modules' own objects that names of the notebook stand for.

    A configuration that an import gives, and that an object of the notebook holds too, is one
    object in a worker as well. Classes, functions and constants are found by pickle itself.

    Args:
        space: The notebook's namespace.
        history: Knows what was imported.
        emit: Puts a name into the module.
    """

    def use(name: str) -> str:
        emit(name)
        return name

    names = history.names_imported(space)
    return {
        id(space[name]): functools.partial(use, name)
        for name in names
        if _is_object(space[name]) and import_line(name, space[name], history)
    }


def _is_object(value: Any) -> bool:
    plain = isinstance(value, (type, ModuleType, FunctionType))
    return isinstance(value, (list, dict, set)) or (hasattr(value, "__dict__") and not plain)


def _is_importable(module: ModuleType) -> bool:
    name = module.__name__
    return name != "__main__" and not made_by_hand(module) and sys.modules.get(name) is module


def _has(module: str, attribute: str, obj: Any) -> bool:
    found = sys.modules.get(module)
    if found is None or module == "__main__" or made_by_hand(found):
        return False
    return attribute in vars(found) and vars(found)[attribute] is obj


def _from(module: str, attribute: str, name: str) -> str:
    line = f"from {module} import {attribute}"
    return line if attribute == name else f"{line} as {name}"
