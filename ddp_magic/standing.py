"""Runs in the kernel: a run as others see it, what they may ask of it and wish, from any thread."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ddp_magic import stacks
from ddp_magic.errors import UserError
from ddp_magic.events import RunState
from ddp_magic.obeying import Obeying
from ddp_magic.removal import remove_tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from threading import Thread

    from ddp_magic.collect.notebook import Cell
    from ddp_magic.drawing import Drawing
    from ddp_magic.launch import Guard
    from ddp_magic.options import Options
    from ddp_magic.prepare import Prepared
    from ddp_magic.results.load import Results
    from ddp_magic.shell import Shell
    from ddp_magic.watchers import Watchers

__all__ = ["Standing"]

_POLITE = 1.0
"""Seconds that the workers get when the kernel ends, as a guard gives them when it is killed."""
_KILLED_WITHIN = 20.0


class Standing:
    """The standing of a run; `run.Run` makes it go.

    Attributes:
        line: What the cell asks for.
        cell: The cell.
        shell: The notebook.
        started: When, seconds since the epoch.
        plan: What was prepared.
        future: The value of the cell, or the error; done when nothing of the run is left.
        blocking: Whether a cell waits for the run's end.
        origin: The cell, as the place of the run's outputs.
        guard: The client of its guard, None before there is one.
        thread: What follows it in the background, None while a cell waits.
        drawing: Its view.
        watchers: What sees more of it than it tells.
        results: What it left; None before its end and when nothing is left of that.
    """

    def __init__(self, line: Options, cell: Cell, shell: Shell, started: float) -> None:
        self.line = line
        self.cell = cell
        self.shell = shell
        self.started = started
        self.plan: Prepared
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()  # so that nobody who waits can cancel it
        self.blocking = True
        self.origin = shell.origin()
        self.guard: Guard | None = None
        self.thread: Thread | None = None
        self.drawing: Drawing
        self.watchers: Watchers
        self.results: Results | None = None
        self._obeying = Obeying(line, started)
        # asked now: a button is pressed on a thread whose request is another
        self._attended = shell.attended
        self._wanted_out = line.background and self._attended
        self._brought: Mapping[str, Any] = {}
        self._ended: float | None = None

    # -- what it does ---------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        """The run's name within its kernel, as ``run-3``."""
        return self.plan.run.run_id

    @property
    def state(self) -> RunState:
        """What the run does or came to."""
        return self.drawing.state if hasattr(self, "drawing") else RunState.STARTING

    @property
    def starting(self) -> bool:
        """Whether its workers are still importing."""
        return self.state == RunState.STARTING

    def status(self, now: float | None = None) -> str:
        """Return one line on what it does or came to."""
        size = self.plan.placement.world_size
        took = (self._ended or now or time.time()) - self.started
        workers = f"{size} worker{'' if size == 1 else 's'}"
        where = "" if self.blocking or self._ended else " in the background"
        return f"{self.run_id} ({self.cell.label}, {workers}): {self.state}{where}, {took:.1f} s"

    def stacks(self) -> str:
        """Return every rank's stacks."""
        if self.guard is None or self.future.done():
            return "No worker is there."
        size = self.plan.placement.world_size
        return stacks.take(self.plan.run, self.guard, size)

    def bundle(self) -> dict[str, Any]:
        """Return what shows it in a further output."""
        return self.drawing.bundle()

    # -- what it is to do -----------------------------------------------------------------------

    def stop(self) -> None:
        """Interrupt the run, or kill it when it was interrupted before."""
        self._obeying.alarm.ring()

    def extend(self, seconds: float) -> None:
        """Give a run that is being stopped so much longer."""
        self._obeying.extend(seconds)

    def background(self) -> None:
        """Let the cell that waits for the run go on without it.

        Does nothing where nobody sees what comes after the cell.
        """
        if self.blocking and self._attended:
            self._wanted_out = True
            self._obeying.alarm.wake()

    def give_up(self) -> None:
        """End a background run: the kernel ends, or forgets the extension."""
        if self.thread is not None:
            self.stop()
            self.thread.join(_POLITE)
            if self.thread.is_alive():
                self.stop()
                self.thread.join(_KILLED_WITHIN)

    # -- what it left ---------------------------------------------------------------------------

    def output(self, name: str) -> Any:
        """Return a variable of rank 0.

        Raises:
            UserError: It left none of this name.
        """
        if self.results is None:
            raise UserError(f"{self.run_id} has left nothing: {self.state}. See %ddp_status.")
        return self.results.fetch(name)

    def forget(self) -> None:
        """Let go what it left, for another run begins; in the background -o names remain.

        Several such runs may have the same -o, of which the notebook has the last one's only.
        """
        if self.results is not None:
            self.results.forget()
        remove_tree(self.plan.run.results)
        if self.blocking and not self.line.background:
            self.results = None

    def release(self) -> None:
        """Bind what -o names now, if that was held back: the running cell waited for it."""
        self.shell.between.release(self._brought)

    def _bind(self, brought: Mapping[str, Any]) -> list[str]:
        """Bind what came back, or hold it back while a cell runs that does not wait for it.

        Returns:
            What the record says of that.
        """
        self._brought = brought
        if self.blocking:
            self.shell.bind(brought)
        elif not self.shell.between.bind(brought) and brought:
            names = ", ".join(brought)
            return [f"A cell was running: {names} came into the notebook when it had ended."]
        return []
