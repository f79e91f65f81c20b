"""How many workers there are, as a library's call is told of them; in every worker."""

from __future__ import annotations

import os

__all__ = ["is_rank", "said", "workers"]


def workers() -> int:
    """Return how many workers train."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def said() -> str:
    """Say it."""
    return "1 worker" if workers() == 1 else f"{workers()} workers"


def is_rank() -> bool:
    """Whether this process is one of a group: rank 0 is not any more, alone after --trainer."""
    return "WORLD_SIZE" in os.environ
