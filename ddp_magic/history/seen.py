"""Runs in the kernel: what the history wants to know of a run's events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.events import Devices, Metrics
from ddp_magic.metrics import Curves

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
        self._gpus: dict[str, int] = {}
        self._workers: dict[int, int] = {}

    def take(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, Metrics):
            self.curves.add(event)
        elif isinstance(event, Devices):
            for gpu in event.gpus:
                self._gpus[gpu.label] = max(gpu.used, self._gpus.get(gpu.label, 0))
            for worker in event.workers:
                before = self._workers.get(worker.rank, 0)
                self._workers[worker.rank] = max(worker.memory, before)

    def peaks(self) -> dict[str, str]:
        """Return the most memory that each GPU and each worker had, in words."""
        gpus = {label: f"{used / _GIB:.1f} GiB" for label, used in self._gpus.items()}
        workers = {f"rank {rank}": f"{m / _GIB:.1f} GiB" for rank, m in self._workers.items()}
        return gpus | workers
