"""How functions, their code and their cells are written; runs in kernel and workers.

cloudpickle 3 gives each function a private copy of the globals that it uses and of the variables
that it closes over (its issues 187, 216, 275, 452). In a notebook both are shared, so here
functions of ``__main__`` keep the receiver's ``__main__`` and cells are objects of their own.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from types import CellType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import cloudpickle

from ddp_magic.pickling import cloud, rebuild

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["NAMESPACE", "Submodules", "library", "reduce", "reduce_cell", "reduce_code"]

NAMESPACE: dict[str, Any] = {"the namespace of": "__main__"}
"""Stands for ``__main__.__dict__`` while a function is written; not empty, for cloudpickle."""

_SLOTS = ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__")


def reduce(
    func: FunctionType, namespace: dict[str, Any], submodules: Submodules
) -> tuple[Any, ...]:
    """Write a function by value.

    Args:
        func: The function.
        namespace: What stands for its globals; `NAMESPACE` for those of ``__main__``, which are
            not written, as little as those of a `library`.
        submodules: Those of this process.
    """
    slots = {name: getattr(func, name) for name in _SLOTS}
    slots["__annotations__"] = func.__annotations__
    if type_params := getattr(func, "__type_params__", ()):  # Python 3.12
        slots["__type_params__"] = type_params
    used: dict[str, Any] = {}
    if namespace is not NAMESPACE and library(namespace) is None:
        names = cloud.code_globals(func.__code__)
        used = {name: func.__globals__[name] for name in names if name in func.__globals__}
    closed = [c.cell_contents for c in func.__closure__ or () if _filled(c)]
    roots = {v.__name__ for v in (*used.values(), *closed) if isinstance(v, ModuleType)}
    names = frozenset(func.__code__.co_names)
    modules = [module for root in sorted(roots) for module in submodules.used(root, names)]
    state = (dict(func.__dict__), slots, used, modules)
    args = (func.__code__, namespace, func.__name__, func.__closure__)
    return rebuild.function, args, state, None, None, rebuild.set_function


def library(namespace: dict[str, Any]) -> str | None:
    """Return the module whose own dict this is, where a receiver can import that module."""
    name = namespace.get("__name__")
    module = sys.modules.get(name) if type(name) is str and name != "__main__" else None
    if type(module) is not ModuleType or module.__dict__ is not namespace:
        return None
    by_value = cloudpickle.list_registry_pickle_by_value()
    own = module.__spec__ is None or not by_value.isdisjoint(_with_parents(module.__name__))
    return None if own else module.__name__


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def reduce_code(code: CodeType, filename: Callable[[str], str]) -> tuple[Any, ...]:
    """Write a code object, its file under the receiver's name."""
    return cloud.reduce_code(code.replace(co_filename=filename(code.co_filename)))


def in_class(func: FunctionType, member: Any) -> str | None:
    """Return the attribute by which a class's member gives a function; empty for itself."""
    if member is func:
        return ""
    ways = ("__func__", "fget", "fset", "fdel", "func")
    return next((way for way in ways if getattr(member, way, None) is func), None)


def reduce_cell(cell: CellType) -> tuple[Any, ...]:
    """Write a cell as an object, so that all closures over it go on sharing it."""
    if not _filled(cell):
        return rebuild.cell, ()
    # in a tuple: pickle takes None for no state
    return rebuild.cell, (), (cell.cell_contents,), None, None, rebuild.set_cell


class Submodules:
    """Finds the submodules that code can reach as attributes of a module.

    ``import xml.etree`` binds only ``xml``; that the rest was imported is no name's value.
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[str, list[str]]] = {}

    def below(self, roots: Iterable[str], names: frozenset[str]) -> list[str]:
        """Name those of several modules; values hold these, and code reaches on from there."""
        return [module for root in sorted(roots) for module in self.used(root, names)]

    def used(self, root: str, names: frozenset[str]) -> list[str]:
        """Name the imported submodules of `root` that all of `names` lead to."""
        if root not in self._known:
            known = self._known[root] = defaultdict[str, list[str]](list)
            below = root + "."
            for module in [name for name in list(sys.modules) if name.startswith(below)]:
                known[module.rpartition(".")[2]].append(module)
        found = [m for last in names if last in self._known[root] for m in self._known[root][last]]
        return sorted(m for m in found if names.issuperset(m[len(root) + 1 :].split(".")))


def _filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
