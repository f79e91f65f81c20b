"""Whether a name is something that a worker gets by an import line; runs in the kernel."""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.pickling.objects import importable, made_by_hand

if TYPE_CHECKING:
    from ddp_magic.collect.history import History

__all__ = ["import_line"]


def import_line(name: str, obj: Any, history: History) -> str | None:
    """Return an import statement that binds the name to this very object, if there is one."""
    if isinstance(obj, ModuleType):
        return _module_line(name, obj)
    for module, attribute in history.imported_from(name):
        if _has(module, attribute, obj):
            return _from(module, attribute, name)
    named = isinstance(obj, (type, FunctionType, BuiltinFunctionType)) and importable(obj)
    if named and "." not in obj.__qualname__ and _has(obj.__module__, obj.__qualname__, obj):
        return _from(obj.__module__, obj.__qualname__, name)
    return None


def _module_line(name: str, module: ModuleType) -> str | None:
    full = module.__name__
    if full == "__main__" or made_by_hand(module) or sys.modules.get(full) is not module:
        return None
    return f"import {full}" if full == name else f"import {full} as {name}"


def _has(module: str, attribute: str, obj: Any) -> bool:
    found = sys.modules.get(module)
    if found is None or module == "__main__" or made_by_hand(found):
        return False
    return vars(found).get(attribute, found) is obj


def _from(module: str, attribute: str, name: str) -> str:
    line = f"from {module} import {attribute}"
    return line if attribute == name else f"{line} as {name}"
