"""Functions of ours around those of a library; in every worker."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from wrapt import FunctionWrapper, decorator, wrap_object

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["around", "patch"]


class _Patched(FunctionWrapper):  # pyright: ignore[reportMissingTypeArgument] - wrapt 1 has none
    """One that a pool of processes may be given: wrapt's own refuse pickling and copying."""

    def __reduce_ex__(self, protocol: object) -> str:
        return self.__qualname__

    def __deepcopy__(self, memo: object) -> _Patched:
        return self


def around(function: Callable[..., Any]) -> Any:
    """Return a decorator that has calls made by a function.

    Args:
        function: Is given what it wraps, the object that has it, the arguments, and those by name.
    """
    return decorator(function, proxy=_Patched)  # pyright: ignore[reportCallIssue] - not in its stub


def patch(module: Any, path: str, wrapper: Any) -> None:
    """Put a decorator on a function or method of a module; a release may not have it."""
    with contextlib.suppress(AttributeError):
        wrap_object(module, path, wrapper)
