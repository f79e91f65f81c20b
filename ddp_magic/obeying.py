"""Runs in the kernel: what is done about wishes to stop a run, and about its time limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ddp_magic.events import RunState, StateChanged
from ddp_magic.interrupts import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddp_magic.drawing import Drawing
    from ddp_magic.launch import Guard
    from ddp_magic.options import Options

__all__ = ["Obeying"]


class Obeying:
    """Interrupts on the first wish to stop, kills on the second, interrupts when time is up.

    Wishes come from any thread; `obey` is called by the thread that follows the run.

    Attributes:
        alarm: Rings at every wish.
        since: When the run was interrupted, seconds since the epoch; None if it was not.
        why: The reason for that, in words; empty if there is none.
    """

    def __init__(self, line: Options, started: float) -> None:
        self.alarm = Alarm()
        self.since: float | None = None
        self.why = ""
        self._line = line
        self._started = started
        self._obeyed = 0
        self._until = 0.0
        self._longer = 0
        self._reason = ""

    def extend(self, seconds: float) -> None:
        """Have a run that is being stopped killed so much later."""
        self._longer += round(seconds)
        self.alarm.wake()

    def obey(self, guard: Guard, drawing: Drawing, stacks: Callable[[], str]) -> None:
        """Do what was wished for since the last call."""
        if self.alarm.count > self._obeyed:
            self._obeyed = self.alarm.count
            if self.since is None:
                self._interrupt(guard, drawing, "interrupted")
            else:
                guard.kill()
        limit = self._line.timeout
        if limit and self.since is None and time.time() - self._started > limit:
            found = stacks()
            self._interrupt(guard, drawing, f"--timeout: {limit:g} s are over", found)
        if self._longer and self.since is not None:
            longer, self._longer = self._longer, 0
            guard.extend(longer)
            self._until += longer
            self._tell(drawing, self._until - time.time())

    def _interrupt(self, guard: Guard, drawing: Drawing, reason: str, stacks: str = "") -> None:
        self.why = "\n\n".join(filter(None, [reason, stacks]))
        self._reason = reason
        self.since = time.time()
        self._longer = 0
        self._until = self.since + self._line.grace
        self._tell(drawing, self._line.grace)
        guard.interrupt()

    def _tell(self, drawing: Drawing, left: float) -> None:
        reason = f"{self._reason}; {left:.3g} s to finish, a second interrupt kills"
        drawing.show(
            StateChanged(
                time=time.time(), state=RunState.STOPPING, reason=reason, until=self._until
            )
        )
