"""Runs in the guard: a standby's time before a run takes it, which must not last for ever."""

from __future__ import annotations

import time

from ddp_magic.memory import memory, total

__all__ = ["Idle"]

_SHORT = 0.1
"""Of the machine's memory: with less left, what waits gives its own back."""


class Idle:
    """Whether a group still waits, and for how long it may.

    Args:
        seconds: How long; None for a group that has its job from the start.
    """

    def __init__(self, seconds: float | None) -> None:
        self.waiting = seconds is not None
        self._until = time.monotonic() + (seconds or 0)

    def taken(self) -> None:
        """Note that a run has taken the group."""
        self.waiting = False

    def over(self) -> bool:
        """Whether the group is to go: nobody came, or others need the memory."""
        if not self.waiting:
            return False
        return time.monotonic() > self._until or memory() < _SHORT * total()
