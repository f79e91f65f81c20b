"""What is known of a run at a moment, gathered from its events: what views draw."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ddp_magic.events import (
    Detached,
    Devices,
    Event,
    Metrics,
    Notice,
    OutputChunk,
    Progress,
    RunEnded,
    RunStarted,
    RunState,
    Stalled,
    StateChanged,
    WorkerExited,
    WorkerStarted,
)
from ddp_magic.metrics import Curves, Peaks, Recent
from ddp_magic.terminal import RankTerminal
from ddp_magic.views import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Picture", "duration", "workers"]

SETTLE = 0.3
"""Seconds between two looks at what has become final; see `Screen.settle`."""
NOTICES = 20


class Picture:
    """The state of one run.

    Attributes:
        started: The event, None before it came.
        ended: The event, None while the run goes on.
        state: Of the run.
        reason: Why the run is in that state, in words; may be empty.
        until: When a run that is being stopped is killed, seconds since the epoch; None before.
        detached: Whether it goes on without its cell.
        attempt: The number of the attempt, 0 for the first.
        failed: Ranks that have failed in this attempt, not those that were ended with them.
        notices: The first ones and the last, `NOTICES` at most.
        ranks: The output of every rank that wrote something, and of the shown ones.
        version: Rises with every change of what is above, but output, and of `stalled`.
        output_version: Rises with every chunk of output.
        curves: The numbers that were reported.
        curves_version: Rises with every number.
        progress: How far the bar of the lowest rank that draws one has come; None before.
        progress_version: Rises with every drawing of that bar.
        devices: The newest sample of GPUs and workers; None before the first.
        recent: The samples of the last minutes.
        peaks: The most that the run took.
        devices_version: Rises with every sample.
        stalled: Why the run seems to hang, in words; empty where it goes on.
    """

    def __init__(self) -> None:
        self.started: RunStarted | None = None
        self.ended: RunEnded | None = None
        self.state = RunState.STARTING
        self.reason = ""
        self.until: float | None = None
        self.detached = False
        self.attempt = 0
        self.failed: list[int] = []
        self.notices: list[Notice] = []
        self.ranks: dict[int, RankTerminal] = {}
        self.version = 0
        self.output_version = 0
        self.curves = Curves()
        self.curves_version = 0
        self.progress: Progress | None = None
        self.progress_version = 0
        self.devices: Devices | None = None
        self.recent = Recent()
        self.peaks = Peaks()
        self.devices_version = 0
        self.stalled = ""
        self._settled = 0.0

    def handle(self, event: Event) -> None:
        """Take an event in."""
        if self._often(event):
            return
        self.version += 1
        self.detached = self.detached or isinstance(event, Detached)
        match event:
            case RunStarted():
                self.started = event
                for rank in event.shown:
                    self.rank(rank)
            case StateChanged():
                self.state, self.reason, self.until = event.state, event.reason, event.until
            case Notice():
                self._note(event)
            case WorkerStarted(attempt=attempt) if attempt > self.attempt:
                self.attempt, self.failed = attempt, []
            case WorkerExited():
                self._leave(event)
            case Stalled():
                self.stalled = event.why
            case RunEnded():
                self.ended, self.state, self.reason, self.until = event, event.state, "", None
                self.stalled = ""
                for rank in self.ranks.values():
                    rank.finish()
                self.output_version += 1
            case _:
                pass

    def _often(self, event: Event) -> bool:
        """Take in what comes often and has a version of its own; return whether it was that."""
        match event:
            case OutputChunk():
                self.rank(event.rank).feed(event.stream, event.data, event.skipped, event.time)
                self.output_version += 1
            case Metrics():
                self.curves.add(event)
                self.curves_version += 1
            case Progress():
                self._advance(event)
            case Devices():
                self.devices = event
                self.recent.add(event)
                self.peaks.add(event)
                self.devices_version += 1
            case _:
                return False
        return True

    def settle(self, now: float) -> None:
        """Let output become final by age; call it at every tick."""
        if now - self._settled >= SETTLE:
            self._settled = now
            for rank in self.ranks.values():
                rank.settle()

    def rank(self, rank: int) -> RankTerminal:
        """Return the output of a rank, empty at first."""
        if rank not in self.ranks:
            self.ranks[rank] = RankTerminal()
            self.ranks = dict(sorted(self.ranks.items()))
        return self.ranks[rank]

    def elapsed(self, now: float) -> float:
        """Return how long the run has taken, in seconds."""
        if self.ended is not None:
            return self.ended.duration
        return max(0.0, now - self.started.time) if self.started else 0.0

    def _advance(self, event: Progress) -> None:
        if self.progress is None or event.rank <= self.progress.rank:
            self.progress = event
            self.progress_version += 1

    def _leave(self, event: WorkerExited) -> None:
        """Note a worker's end; a killed one has failed only where no other had before it."""
        bad = event.exit_code != 0 and (event.exit_code is not None or not self.failed)
        if bad and self.state is not RunState.STOPPING and event.attempt == self.attempt:
            self.failed.append(event.rank)

    def _note(self, notice: Notice) -> None:
        if len(self.notices) == NOTICES:
            del self.notices[NOTICES // 2]
            gap = self.notices[NOTICES // 2 - 1]
            self.notices[NOTICES // 2 - 1] = replace(gap, text="…", warning=False)
        self.notices.append(notice)


def duration(seconds: float) -> str:
    """Say how long something took, as ``4.2 s``, ``2 min 05 s`` or ``1 h 03 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def workers(devices: Sequence[str]) -> str:
    """Say how many workers run on what, as ``2 workers on CPU``."""
    count = len(devices)
    names = list(dict.fromkeys(escape.line(device, 60) for device in devices))
    kinds = {name.partition(" ")[2] for name in names}
    if len(names) > 1 and len(kinds) == 1 and (kind := kinds.pop()):
        names = [name.partition(" ")[0] for name in names]
        names[-1] += f" ({kind})"
    shown = ", ".join(names if len(names) <= 8 else [*names[:7], "…", names[-1]])
    return f"{count} worker{'' if count == 1 else 's'}" + (f" on {shown}" if shown else "")
