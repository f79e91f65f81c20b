"""Runs in the kernel: all curves of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.metrics.series import Series

if TYPE_CHECKING:
    from ddp_magic.events import Metrics

__all__ = ["NAMES", "Curves"]

NAMES = 60
"""Metrics at most; a program that makes up names must not fill the kernel."""


class Curves:
    """The curves of a run by name, in the order in which they came.

    A name belongs to the first rank that reports it, and `ddp_magic.log` takes it over from what
    was read from the output: both tell of the same number.

    Attributes:
        series: By name.
        dropped: Whether there were more names than are kept.
    """

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.dropped = False
        self._owner: dict[str, tuple[bool, int]] = {}

    def add(self, event: Metrics) -> None:
        """Take in what a rank reported."""
        for name, value in event.values:
            owner = self._owner.get(name)
            mine = event.logged, event.rank
            if owner is None and len(self.series) >= NAMES:
                self.dropped = True
                continue
            if owner is None or (event.logged and not owner[0]):
                self._owner[name] = mine
                self.series[name] = Series()
            if self._owner[name] == mine:
                self.series[name].add(event.step, value)
