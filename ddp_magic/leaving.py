"""Who removes a dead kernel's directory: the last that works in it. Standard library only.

Imported by the guard and the agent. Several guards may watch over one directory: one for each run
that goes on, one for the standby. All hold its lock together, and removing takes it alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from ddp_magic.rundir import remove_runs

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["remove_after_others"]

_PATIENCE = 20.0
"""Seconds that others get: their workers have one. After that the next kernel's sweep removes it.
"""
_LOOK = 0.02


def remove_after_others(home: Path, lock: int | None = None) -> None:
    """Remove a kernel's directory once no guard holds its lock.

    Args:
        home: The directory.
        lock: The descriptor through which the caller holds the lock himself, if he does. Asking for
            the lock alone gives up the shared one first (flock(2)), so that of two guards that ask
            at once, one gets it.
    """
    with contextlib.suppress(FileNotFoundError):  # another was the last
        fd = os.open(home / "lock", os.O_RDONLY | os.O_CLOEXEC) if lock is None else lock
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_runs(home)
                fcntl.flock(fd, fcntl.LOCK_UN)  # who asked at once need not wait for our end
                return
            time.sleep(_LOOK)
