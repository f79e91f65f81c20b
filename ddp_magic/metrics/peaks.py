"""Runs in the kernel: the most that a run took of GPUs and machine, and its last minutes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddp_magic.events import Devices
    from ddp_magic.samples import GpuSample, WorkerSample

__all__ = ["RECENT", "GpuPeak", "Peaks", "Recent", "WorkerPeak"]

RECENT = 120
"""Samples that are kept for drawing: two minutes where there is one a second."""


class Mean:
    """The mean of values as they come.

    Attributes:
        count: How many came.
        value: Their mean; None before the first.
    """

    def __init__(self) -> None:
        self.count = 0
        self.value: float | None = None

    def add(self, value: float) -> None:
        """Take a value in."""
        self.count += 1
        before = self.value or 0.0
        self.value = before + (value - before) / self.count


class GpuPeak:
    """One GPU over the run.

    Attributes:
        label: As in `RunStarted.devices`.
        used: Most bytes in use, of all processes.
        total: Bytes that it has.
        kernel: Most bytes that the notebook's kernel held.
        busy: Mean part of the time in which it computed.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.used = self.total = self.kernel = 0
        self.busy = Mean()

    def add(self, sample: GpuSample) -> None:
        """Take a sample in."""
        self.used = max(self.used, sample.used)
        self.total = max(self.total, sample.total)
        self.kernel = max(self.kernel, sample.kernel)
        if sample.busy is not None:
            self.busy.add(sample.busy)


class WorkerPeak:
    """One worker over the run.

    Attributes:
        rank: Whose it is.
        memory: Most bytes.
        cpu: Most cores.
        busy: Mean cores.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.memory = 0
        self.cpu = 0.0
        self.busy = Mean()

    def add(self, sample: WorkerSample) -> None:
        """Take a sample in."""
        self.memory = max(self.memory, sample.memory)
        self.cpu = max(self.cpu, sample.cpu)
        self.busy.add(sample.cpu)


class Peaks:
    """The most of everything, for the record.

    Attributes:
        gpus: By label.
        workers: By rank.
    """

    def __init__(self) -> None:
        self.gpus: dict[str, GpuPeak] = {}
        self.workers: dict[int, WorkerPeak] = {}

    def add(self, event: Devices) -> None:
        """Take a sample of everything in."""
        for gpu in event.gpus:
            self.gpus.setdefault(gpu.label, GpuPeak(gpu.label)).add(gpu)
        for worker in event.workers:
            self.workers.setdefault(worker.rank, WorkerPeak(worker.rank)).add(worker)


class Recent:
    """The newest samples, `RECENT` at most, for sparklines.

    Attributes:
        samples: The oldest first.
    """

    def __init__(self) -> None:
        self.samples: deque[Devices] = deque(maxlen=RECENT)

    def add(self, event: Devices) -> None:
        """Take a sample of everything in."""
        self.samples.append(event)

    def gpu(self, label: str) -> list[GpuSample | None]:
        """Return a GPU's samples, None where it was not told of."""
        return [next((g for g in s.gpus if g.label == label), None) for s in self.samples]

    def worker(self, rank: int) -> list[WorkerSample | None]:
        """Return a worker's samples, None where it was not there."""
        return [next((w for w in s.workers if w.rank == rank), None) for s in self.samples]
