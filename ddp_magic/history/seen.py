"""Runs in the kernel: what the history wants to know of a run's events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.events import Devices, Metrics
from ddp_magic.metrics import Curves, Peaks

if TYPE_CHECKING:
    from ddp_magic.events import Event

__all__ = ["Seen"]

_GIB = 1 << 30


class Seen:
    """Takes every event of a run and keeps curves and peaks.

    Attributes:
        curves: The numbers that were reported.
    """

    def __init__(self) -> None:
        self.curves = Curves()
        self._peaks = Peaks()

    def take(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, Metrics):
            self.curves.add(event)
        elif isinstance(event, Devices):
            self._peaks.add(event)

    def peaks(self) -> dict[str, str]:
        """Return the most memory that each GPU and each worker had, in words."""
        gpus = {g.label: f"{g.used / _GIB:.1f} GiB" for g in self._peaks.gpus.values()}
        held = self._peaks.workers.values()
        workers = {f"rank {w.rank}": f"{w.memory / _GIB:.1f} GiB" for w in held}
        return gpus | workers
