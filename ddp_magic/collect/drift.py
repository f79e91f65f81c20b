"""Modules of the user whose file is no longer what the kernel imported; runs in the kernel."""

from __future__ import annotations

import os
import sys
import warnings
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.collect import code as codes
from ddp_magic.collect.texts import methods, unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["changed_on_disk"]


def changed_on_disk(packages: set[str]) -> list[str]:
    """Return a sentence for each module below the working directory that workers import changed.

    Args:
        packages: Top-level names that workers import.
    """
    here = os.getcwd() + os.sep
    packages = {n for n in packages if _may_be_own(sys.modules.get(n), here)}
    return [
        f"{name} has changed on disk since this notebook imported it, and the workers import the "
        "file as it is now. Reload it, or restart the kernel, to have the same here."
        for name, module in (list(sys.modules.items()) if packages else ())
        if name.partition(".")[0] in packages and _is_own(module, here) and _has_changed(module)
    ]


def _may_be_own(package: Any, here: str) -> bool:
    """Whether a module, or one inside it, may be the user's; a namespace package has no file."""
    return getattr(package, "__file__", None) is None or _is_own(package, here)


def _is_own(module: Any, here: str) -> bool:
    path = getattr(module, "__file__", None)
    if not isinstance(path, str) or not path.endswith(".py"):
        return False
    return path.startswith(here) and "site-packages" not in path


def _has_changed(module: ModuleType) -> bool:
    path = str(module.__file__)
    try:
        with warnings.catch_warnings(action="ignore"), open(path, "rb") as file:
            now = compile(file.read(), path, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return False
    on_disk = {_essence(code) for code in codes.nested(now)}
    return any(_essence(func.__code__) not in on_disk for func in _functions(module))


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for value in list(vars(module).values()):
        for func in methods(value) if isinstance(value, type) else unwrapped(value):
            if func.__module__ == module.__name__ and func.__code__.co_filename == module.__file__:
                yield func


def _essence(code: CodeType) -> tuple[Any, ...]:
    """Return what a code object does, without its place in the file."""
    consts = (c for c in code.co_consts if not isinstance(c, CodeType))
    return code.co_name, code.co_code, repr(list(consts)), code.co_names
