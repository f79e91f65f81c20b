"""How much memory the system has left; standard library only, imported by every process."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["NO_LIMIT", "memory", "total"]

NO_LIMIT = 1 << 60
_CGROUPS = Path("/sys/fs/cgroup")


def memory() -> int:
    """Return how many bytes of memory are left to this process, as far as the system says."""
    left = _of_machine("MemAvailable:")
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            left = min(left, _left_to_group(*line.split(":", 2)))
    return left


def total() -> int:
    """Return how many bytes of memory the machine has."""
    return _of_machine("MemTotal:")


def _of_machine(line_of: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(line_of):
                return int(line.split()[1]) << 10
    return NO_LIMIT


def _left_to_group(_number: str, controllers: str, path: str) -> int:
    """Return what is left to a cgroup and to those above it; much where there is no limit."""
    if not controllers:
        root, limit, usage, cache = _CGROUPS, "memory.max", "memory.current", "inactive_file"
    elif "memory" in controllers.split(","):
        root, cache = _CGROUPS / "memory", "total_inactive_file"
        limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
    else:
        return NO_LIMIT
    left = NO_LIMIT
    group = root / path.strip("/")
    for place in (group, *group.parents):
        if place == root.parent:
            break
        # in a container the path may be the host's, of which nothing is to be seen
        with contextlib.suppress(OSError, ValueError):
            allowed = int((place / limit).read_text())
            used = int((place / usage).read_text())
            stat = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
            left = min(left, allowed - used + int(stat.get(cache, 0)))
    return left
