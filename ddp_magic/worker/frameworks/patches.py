"""Functions of ours around those of a library; in every worker."""

from __future__ import annotations

import importlib.metadata
import warnings
from typing import TYPE_CHECKING, Any

from wrapt import FunctionWrapper, decorator, wrap_object

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["around", "patch", "unknown"]

_told: set[str] = set()


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


def patch(module: Any, path: str, wrapper: Any, *, newer: bool = False) -> None:
    """Put a decorator on a function or method of a module.

    Args:
        module: Of a library.
        path: Where the function stands in it.
        wrapper: The decorator.
        newer: Whether some of the releases that are known do not have it yet.
    """
    try:
        wrap_object(module, path, wrapper)
    except AttributeError:
        if not newer:
            unknown(module.__name__, f"it has no {path}")


def unknown(module: str, why: str) -> None:
    """Say once of a library that this release of it is another than those that are known.

    The user's import must not fail for it, and nobody would see that what we do for its ranks is
    not done.
    """
    library = module.partition(".")[0]
    if library in _told:
        return
    _told.add(library)
    try:
        release = f" {importlib.metadata.version(library)}"
    except (importlib.metadata.PackageNotFoundError, ValueError):
        release = ""
    warnings.warn_explicit(
        f"%%ddp does not know {library}{release}: {module} has changed ({why}). Make sure that the "
        f"ranks train one model, or install an earlier {library}.",
        RuntimeWarning,
        f"<{library}>",
        0,
    )
