"""Runs in the kernel: what is said of the workers that wait."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from ddp_magic.processes import descendants
from ddp_magic.wording import volume

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
    import psutil  # not at %load_ext

    from ddp_magic.usage import pss

    taken = 0
    for pid in (group.guard.pid, *descendants(group.guard.pid)):
        with contextlib.suppress(psutil.Error):  # it has just ended
            taken += pss(psutil.Process(pid)) or 0
    return taken
