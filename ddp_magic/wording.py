"""How sentences name ranks and sizes; imported by every process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ranks", "volume"]


def ranks(numbers: Sequence[int]) -> str:
    """Return ``rank 1``, or ``ranks 0, 2 and 3``."""
    if len(numbers) == 1:
        return f"rank {numbers[0]}"
    return f"ranks {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def volume(nbytes: float) -> str:
    """Return a size for people, as ``9.8 GB``."""
    units = ["GB", "MB", "kB", "B"]
    while nbytes >= 999.5 and len(units) > 1:
        nbytes /= 1000
        units.pop()
    return f"{nbytes:.{1 if nbytes < 9.95 and units[-1] != 'B' else 0}f} {units[-1]}"
