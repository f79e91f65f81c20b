"""One event loop for all that awaits at top level, as in a notebook; runs in every worker."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

__all__ = ["close", "finished", "run"]

_runners: list[asyncio.Runner] = []


def run(codes: Sequence[CodeType], namespace: dict[str, Any]) -> object:
    """Run the codes, in the loop if any of them awaits; return the last one's value.

    A setup cell's connections belong to the loop that it ran in, and the body awaits them too.
    """

    async def drive() -> object:
        value: object = None
        for code in codes:
            value = eval(code, namespace)
            if code.co_flags & inspect.CO_COROUTINE:
                value = await value  # type: ignore[misc]
        return value

    if any(code.co_flags & inspect.CO_COROUTINE for code in codes):
        return _runner().run(drive())
    value: object = None
    for code in codes:
        value = eval(code, namespace)
    return value


def finished(value: object) -> object:
    """Return what a coroutine comes to, in the loop; anything else as it is."""
    return _runner().run(value) if inspect.iscoroutine(value) else value


def close() -> None:
    """End the loop and what still runs in it."""
    while _runners:
        _runners.pop().close()


def _runner() -> asyncio.Runner:
    if not _runners:
        _runners.append(asyncio.Runner())
    return _runners[0]
