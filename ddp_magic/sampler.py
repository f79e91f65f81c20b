"""Runs in the kernel: samples of what a run takes of GPUs and machine, outside of the workers."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

import psutil

from ddp_magic.events import Devices, WorkerExited, WorkerStarted
from ddp_magic.nvml import Meter
from ddp_magic.samples import WorkerSample
from ddp_magic.usage import Usage

if TYPE_CHECKING:
    from ddp_magic.devices import Placement
    from ddp_magic.events import Event

__all__ = ["Sampler", "meter"]

_EVERY = 1.0
"""Seconds between two samples at least."""
_SHARE = 0.0025
"""Part of a core that samples may cost, and again for the exact memory of all workers."""
_ENDING = 0.5
"""Seconds that the last sample gets at the end; a driver may hang for ever."""


class Sampler:
    """Samples about once a second, in a thread of its own: a driver that hangs hangs that alone.

    The thread starts with the first worker and touches nothing but what `take` returns. What goes
    wrong in it ends the samples and nothing else.

    Args:
        meter: The run's GPUs.
        world_size: How many workers share what samples may cost.
        every: Seconds between two samples at least.
    """

    def __init__(self, meter: Meter, world_size: int, *, every: float = _EVERY) -> None:
        self._meter = meter
        self._share = _SHARE / world_size
        self._every = every
        self._pids: dict[int, int] = {}
        self._usages: dict[int, tuple[int, Usage]] = {}
        self._sample: Devices | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def see(self, event: Event) -> None:
        """Learn which processes the workers are."""
        if isinstance(event, WorkerStarted):
            self._pids[event.rank] = event.pid
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._go, name="ddp_magic sampler", daemon=True
                )
                self._thread.start()
        elif isinstance(event, WorkerExited):
            self._pids.pop(event.rank, None)

    def take(self) -> Devices | None:
        """Return the newest sample once; None where there is none since."""
        sample, self._sample = self._sample, None
        return sample

    def close(self) -> None:
        """End the samples."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(_ENDING)

    def _go(self) -> None:
        with contextlib.suppress(Exception):
            self._workers()  # what came before the run does not count as its CPU
            pause = self._every / 2
            while not self._over.wait(pause):
                before = self._cost()
                self._sample = Devices(
                    time=time.time(), gpus=self._meter.read(), workers=self._workers()
                )
                pause = max(self._every, (self._cost() - before) / _SHARE)
        with contextlib.suppress(Exception):
            self._meter.close()

    def _cost(self) -> float:
        """Return this thread's CPU seconds, but for those that usages limit themselves."""
        return time.thread_time() - sum(usage.asking for _, usage in self._usages.values())

    def _workers(self) -> tuple[WorkerSample, ...]:
        found: list[WorkerSample] = []
        for rank, pid in sorted(dict(self._pids).items()):
            if rank not in self._usages or self._usages[rank][0] != pid:
                with contextlib.suppress(psutil.Error):
                    self._usages[rank] = pid, Usage(pid, self._share)
            known, usage = self._usages.get(rank, (None, None))
            if usage is not None and known == pid:
                read = usage.read(time.monotonic())
                if read is not None:
                    found.append(WorkerSample(rank=rank, cpu=read[0], memory=read[1]))
        return tuple(found)


def meter(placement: Placement) -> Meter:
    """Return what reads the GPUs of a run; none on the CPU."""
    gpus = dict(zip(placement.uuids, placement.labels, strict=False))
    return Meter(gpus, kernel_pid=os.getpid())
