"""Runs in the kernel: what is said of the workers that wait."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ddp_magic.pickling.room import text as volume
from ddp_magic.processes import descendants

if TYPE_CHECKING:
    from ddp_magic.standby.group import Standby

__all__ = ["describe", "memory_of"]


def describe(group: Standby | None, why_none: str) -> str:
    """Return one or two lines on a group.

    Args:
        group: The group, or None.
        why_none: Why there is none.
    """
    if group is None or group.gone:
        return f"standby: none; {why_none}"
    workers = f"{group.spec.world_size} workers"
    minutes, seconds = divmod(int(time.time() - group.born), 60)
    age = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    taken = volume(memory_of(group))
    if not group.ready:
        return f"standby: {workers} start since {age} ({taken})"
    names = ", ".join(group.spec.preload)
    return f"standby: {workers} wait since {age}, with {names} imported ({taken} of memory)"


def memory_of(group: Standby) -> int:
    """Return the bytes that a group takes: the proportional set size of all its processes."""
    pids = [group.guard.pid, *descendants(group.guard.pid)]
    return sum(map(_pss, pids))


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
