"""Runs in the kernel: how sentences name ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ranks"]


def ranks(numbers: Sequence[int]) -> str:
    """Return ``rank 1``, or ``ranks 0, 2 and 3``."""
    if len(numbers) == 1:
        return f"rank {numbers[0]}"
    return f"ranks {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
