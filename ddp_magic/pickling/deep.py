"""Room for pickling what is nested deeply, as a chain of a thousand nodes; kernel and workers.

Pickle recurses once or twice per level, and stops at Python's limit. A thread of our own can have a
stack that is large enough for a higher one. (From Python 3.12 to 3.13 a fixed limit of the
interpreter's own, some thousands of levels, comes first.)
"""

from __future__ import annotations

import contextvars
import pickle
import sys
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["deeply"]

_Result = TypeVar("_Result")
_LEVELS = 100_000
_STACK = 1 << 30
"""Addresses, not memory; 10 kB a level, of which pickling needs a tenth."""


def deeply(attempt: Callable[[], _Result]) -> _Result:
    """Call something that pickles; once more with room if it goes too deep.

    Args:
        attempt: Begins anew whenever it is called.
    """
    try:
        return attempt()
    except (RecursionError, pickle.PicklingError) as error:
        deep = isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError)
        if not deep or sys.getrecursionlimit() >= _LEVELS:
            raise
    return _with_room(attempt)


def _with_room(attempt: Callable[[], _Result]) -> _Result:
    results: list[_Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(attempt())
        except BaseException as error:  # to be raised in the thread that waits
            errors.append(error)

    limit, size = sys.getrecursionlimit(), threading.stack_size(_STACK)
    try:
        thread = threading.Thread(target=contextvars.copy_context().run, args=(run,))
        sys.setrecursionlimit(_LEVELS)
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(size)
    if errors:
        raise errors[0]
    return results[0]
