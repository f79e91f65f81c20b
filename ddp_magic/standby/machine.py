"""Runs in the kernel: whether the machine has room for workers that only wait."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ddp_magic.memory import memory, total
from ddp_magic.processes import WAITING

__all__ = ["full"]

_EACH = 400 << 20
"""Bytes that a process with torch takes at most before it has done anything."""
_ALWAYS = 8
"""Workers that may wait on any machine that has the memory."""
_SPARE = 0.25
"""Of the machine's memory: so much stays free."""


def full(workers: int, limit: int | None) -> str:
    """Return why no further group of so many workers may wait; empty if it may.

    Counted over all users, by the name that waiting processes have: a class of 25 notebooks on one
    server must not fill it.

    Args:
        workers: How many.
        limit: How many may wait on this machine in all; None for as many as it has cores.
    """
    limit = max(os.cpu_count() or 1, _ALWAYS) if limit is None else limit
    count = waiting()
    if count + workers > limit:
        return f"{count} workers wait on this machine already, and {limit} may"
    if memory() - (workers + 1) * _EACH < _SPARE * total():
        return "memory is short"
    return ""


def waiting() -> int:
    """Return how many workers wait on this machine."""
    count = 0
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit():
            with contextlib.suppress(OSError):
                count += Path(f"/proc/{entry}/comm").read_text().strip() == WAITING
    return count
