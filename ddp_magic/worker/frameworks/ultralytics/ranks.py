"""The ranks of this run, and how Ultralytics hears of them; runs in every worker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["workers", "wrap"]


def workers() -> int:
    """Return how many workers train."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def wrap(owner: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
    """Put a function of ours around one of a module or class, if it has that name."""
    original = getattr(owner, name, None)
    if original is not None:
        setattr(owner, name, wrapper(original))
