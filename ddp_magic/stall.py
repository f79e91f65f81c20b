"""Runs in the kernel: whether a run seems to hang, judged from its events.

It seems to where both are true:

- No rank has printed or logged for `QUIET` seconds; `FIRST` where none has since the cell began,
  which may open files over a slow network first.
- For `WINDOW` seconds no rank has worked. A rank works where its processes keep a tenth of a core
  busy: imports, compilation, data loading and training on the CPU do, waiting for a peer over gloo
  or for a file does not. Where it has a GPU, a GPU that is busy proves nothing alone: NCCL waits
  with a kernel that spins, which the driver reports as 100 %, and the process may spin with it. But
  that kernel leaves the GPU's memory alone, and training does not. So a GPU that is always full and
  never moves data is taken to wait, with up to one core and a half; any other that is not idle
  works.

Or where a rank stands still while others go on (`drift`).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ddp_magic.drift import Drift
from ddp_magic.events import (
    Devices,
    Metrics,
    OutputChunk,
    RunState,
    Stalled,
    StateChanged,
    WorkerExited,
    WorkerStarted,
)
from ddp_magic.wording import ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.events import Event

__all__ = ["FIRST", "QUIET", "WINDOW", "Doctor"]

QUIET = 60.0
FIRST = 180.0
WINDOW = 30.0
_AGAIN = 30.0
"""Seconds after which the same is said with new numbers."""
_IDLE_CORES = 0.1
"""Less than this is idle: watchdogs and heartbeats of torch and loggers wake now and then."""
_SPIN_CORES = 1.5
_IDLE_GPU = 0.02
_FULL_GPU = 0.95
_STILL_MEMORY = 0.01


class Doctor:
    """Watches one run.

    Args:
        labels: Each rank's device, as in `RunStarted.devices`.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self._said = ""
        self._said_at = 0.0
        self._attempt = 0
        self._reset()

    def _reset(self) -> None:
        self._began: float | None = None
        self._heard: float | None = None
        self._alive: set[int] = set()
        self._ended: set[int] = set()
        self._samples: deque[Devices] = deque()
        self._drift = Drift()

    def see(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case WorkerStarted():
                if event.attempt > self._attempt:
                    self._attempt = event.attempt
                    self._reset()
                self._alive.add(event.rank)
            case StateChanged(state=RunState.RUNNING):
                self._began = event.time
            case OutputChunk():
                self._heard = event.time
            case Metrics():
                self._heard = event.time
                self._drift.see(event)
            case WorkerExited():
                self._alive.discard(event.rank)
                self._ended.add(event.rank)
                self._drift.gone(event.rank)
            case Devices():
                self._samples.append(event)
                while event.time - self._samples[0].time > WINDOW:
                    self._samples.popleft()
            case _:
                pass

    def look(self, now: float) -> Stalled | None:
        """Return what has changed of how it seems to go; None where nothing has."""
        why = " ".join(filter(None, [self._silence(now), self._drift.look(now)]))
        again = now - self._said_at >= _AGAIN
        if why == self._said or (why and self._said and not again):
            return None
        self._said, self._said_at = why, now
        return Stalled(time=now, why=why)

    def _silence(self, now: float) -> str:
        """Say that nothing happens; empty where something does, or that is not known."""
        if self._began is None or not self._alive:
            return ""
        since = max(self._began, self._heard or self._began)
        patience = FIRST if self._heard is None or self._heard < self._began else QUIET
        if now - since < patience or not self._known(now):
            return ""
        does = {rank: self._does(rank) for rank in sorted(self._alive)}
        if "works" in does.values():
            return ""
        spins = [rank for rank, what in does.items() if what == "spins"]
        idle = [rank for rank in does if rank not in spins]
        if not spins:
            what = ", and the workers are idle"
        elif not idle:
            what = ", and the GPUs only wait: they are busy and move no data"
        else:
            what = f"; {_are(spins)} waiting on the GPU for another, and {_are(idle)} idle"
        left = f" {_have(sorted(self._ended))} ended." if self._ended else ""
        return f"No rank has printed or logged for {_seconds(now - since)}{what}.{left}"

    def _known(self, now: float) -> bool:
        """Whether samples tell of the last `WINDOW` seconds."""
        samples = self._samples
        return (
            len(samples) > 2
            and samples[-1].time - samples[0].time >= WINDOW / 2
            and now - samples[-1].time <= WINDOW
        )

    def _does(self, rank: int) -> str:
        """Return whether a rank ``works``, ``spins`` in a wait, or is ``idle``, by its samples."""
        cpus = [w.cpu for sample in self._samples for w in sample.workers if w.rank == rank]
        if not cpus:
            return "works"  # or what it does is not known, which is no reason for alarm
        cores = sum(cpus) / len(cpus)
        label = self._labels[rank] if rank < len(self._labels) else ""
        gpus = [g for sample in self._samples for g in sample.gpus if g.label == label]
        busy = [gpu.busy for gpu in gpus if gpu.busy is not None]
        moving = [gpu.moving for gpu in gpus if gpu.moving is not None]
        if not busy or max(busy) <= _IDLE_GPU:
            return "idle" if cores < _IDLE_CORES else "works"
        full = min(busy) >= _FULL_GPU and moving and max(moving) <= _STILL_MEMORY
        return "spins" if full and cores < _SPIN_CORES else "works"


def _are(numbers: Sequence[int]) -> str:
    return f"{ranks(numbers)} {'is' if len(numbers) == 1 else 'are'}"


def _have(numbers: Sequence[int]) -> str:
    said = f"{ranks(numbers)} {'has' if len(numbers) == 1 else 'have'}"
    return said[0].upper() + said[1:]


def _seconds(seconds: float) -> str:
    """Say how long, as ``62 s`` or ``4 min``."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
