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

    A name belongs to the first rank that reports it. Once anything is logged, what is read from the
    output counts no more: it tells of the same numbers, by other names and counted in other steps.

    Attributes:
        series: By name.
        dropped: Whether there were more names than are kept.
    """

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.dropped = False
        self._owner: dict[str, int] = {}
        self._logged = False

    def add(self, event: Metrics) -> None:
        """Take in what a rank reported."""
        if event.logged and not self._logged:
            self._logged = True
            self.series.clear()
            self._owner.clear()
        if event.logged != self._logged:
            return
        for name, value in event.values:
            if name not in self._owner:
                if len(self.series) >= NAMES:
                    self.dropped = True
                    continue
                self._owner[name] = event.rank
                self.series[name] = Series()
            if self._owner[name] == event.rank:
                self.series[name].add(event.step, value)
