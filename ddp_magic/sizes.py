"""How many bytes, for people; runs in the kernel."""

from __future__ import annotations

__all__ = ["size"]


def size(nbytes: int) -> str:
    """Return a number of bytes with three digits at most: ``26 B``, ``1.2 GB``."""
    number, units = float(nbytes), ["TB", "GB", "MB", "kB", "B"]
    while number >= 999.5 and len(units) > 1:
        number /= 1000
        units.pop()
    return f"{number:.3g} {units[-1]}"
