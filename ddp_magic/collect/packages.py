"""Which packages' state matters to the workers: what they import, and what that uses; in kernel."""

from __future__ import annotations

import functools
import site
import sys
import sysconfig
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["STANDARD", "is_used", "with_own"]

STANDARD = frozenset({*sys.stdlib_module_names, "builtins"})
_INSTALLED = tuple(
    {sysconfig.get_path("stdlib"), *site.getsitepackages(), site.getusersitepackages()}
)


@functools.lru_cache(maxsize=256)
def with_own(packages: frozenset[str], _count: int) -> frozenset[str]:
    """Return the packages and those that the user's own modules among them use, at any depth.

    Args:
        packages: Top-level names that workers import.
        _count: How many modules there are: the answer may change with it.
    """
    found = set(packages)
    waiting = list(packages)
    while waiting:
        new = set(_used_by_own(waiting.pop())) - found
        found |= new
        waiting += new
    return frozenset(found)


@functools.lru_cache(maxsize=256)
def is_used(package: str, packages: frozenset[str], _count: int) -> bool:
    """Whether a module of one of the packages holds something of another package.

    Args:
        package: The package whose state is in question.
        packages: Those that workers import.
        _count: How many modules there are: the answer may change with it.
    """
    modules = [m for name, m in list(sys.modules.items()) if name.partition(".")[0] in packages]
    return any(origin == package for module in modules for origin in _origins(module))


def _used_by_own(package: str) -> Iterator[str]:
    for name, module in list(sys.modules.items()):
        path: Any = getattr(module, "__file__", None)
        own = isinstance(path, str) and not path.startswith(_INSTALLED)
        if own and name.partition(".")[0] == package:
            yield from _origins(module)


def _origins(module: object) -> Iterator[str]:
    """Yield the top-level packages that a module's globals come from."""
    values = list(vars(module).values()) if isinstance(module, ModuleType) else []
    for value in values:
        kind = type(value)  # isinstance asks the value: torch.distributed.reduce_op warns of itself
        if issubclass(kind, ModuleType):
            yield value.__name__.partition(".")[0]
        elif issubclass(kind, (type, FunctionType)):
            yield str(value.__module__).partition(".")[0]
