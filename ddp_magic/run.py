"""Runs in the kernel: the story of one run, from the line to its result. Read this first."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ddp_magic import failure, interrupts, keeping, outcome, stacks
from ddp_magic.drawing import Drawing
from ddp_magic.events import RunStarted, RunState, StateChanged
from ddp_magic.follow import Follower
from ddp_magic.history.remember import writing
from ddp_magic.prepare import place, prepare
from ddp_magic.start import Start
from ddp_magic.watchers import Watchers

if TYPE_CHECKING:
    from collections.abc import Generator

    from ddp_magic.collect.notebook import Cell
    from ddp_magic.launch import Guard
    from ddp_magic.options import Options
    from ddp_magic.prepare import Prepared
    from ddp_magic.runs import Runs
    from ddp_magic.shell import Shell
    from ddp_magic.standby import Keeper

__all__ = ["Run"]

_TICK = 0.05
"""Seconds between two looks at the logs; the guard's news comes at once."""


class Run:
    """One use of %%ddp; `execute` blocks until it is over.

    Attributes:
        started: When, seconds since the epoch.
        plan: What was prepared.
        marks: When each step was done, seconds since the epoch.
    """

    def __init__(
        self,
        line: Options,
        cell: Cell,
        shell: Shell,
        runs: Runs,
        keeper: Keeper,
        *,
        entered: float,
    ) -> None:
        self.line = line
        self.cell = cell
        self.shell = shell
        self.runs = runs
        self.started = entered
        self.marks = {"entered": entered, "parsed": time.time()}
        self._keeper = keeper
        self.alarm = interrupts.Alarm()
        self.plan: Prepared
        self._guard: Guard | None = None
        self._obeyed = 0
        self._wanted_out = False
        self._ended: float | None = None
        self._stopping_since: float | None = None
        self._why_stopped = ""
        self._oom_kills = failure.oom_kills()

    def execute(self) -> Any:
        """Run the cell on its workers; return the value of its last expression in rank 0.

        Raises:
            UserError: It was refused; nothing was started and nothing is left.
            WorkerFailed: A rank failed; what came back is bound.
            RunStopped: It was interrupted or timed out; what came back is bound.
        """
        with ExitStack() as stack:
            stack.callback(self.alarm.close)
            self.runs.check_free()
            self.plan = stack.enter_context(self._prepared())
            stack.enter_context(self.runs.going(self))
            stack.enter_context(interrupts.caught(self.alarm))
            self._open_view()
            stack.callback(self._watchers.close)
            guard = stack.enter_context(self._launched())
            self._follow(guard)
            if self._stopping_since is None and self._start.renewed():
                guard = stack.enter_context(self._launched())
                self._follow(guard)
            return self._end(guard)

    # -- before ---------------------------------------------------------------------------------

    @contextmanager
    def _prepared(self) -> Generator[Prepared]:
        """Prepare the run's directory; leave of it nothing if refused, and only logs at the end."""
        placement = place(self.line, self._keeper.config.nproc)
        self._start = Start(self.line, placement, self.shell, self.runs, self._keeper)
        self._mark("placed")
        try:
            run = self._start.run
            plan = prepare(self.line, self.cell, self.shell, run, placement, mark=self._mark)
            keeping.check(self.line, run)
            plan = self._start.settle(plan)
        except BaseException:
            self._start.undo()
            raise
        try:
            yield plan
        finally:
            if self._guard is None:
                self._start.undo()
            else:
                keeping.keep(self.line, plan.run)
                plan.run.clean()

    def _open_view(self) -> None:
        self._watchers = Watchers(self.plan.placement)
        self._drawing = Drawing(self.line.ui or self.shell.ui, self.shell, self)
        self._drawing.show(
            RunStarted(
                time=self.started,
                run_id=self.plan.run.run_id,
                label=self.cell.label,
                world_size=self.plan.placement.world_size,
                devices=self.plan.placement.labels,
                overrides=tuple(b.shown for b in self.plan.bound),
                note=self.line.note,
                log_dir=str(self.plan.run.logs),
                shown=self.plan.shown,
            )
        )
        for text in (*self.plan.placement.notices, *self.plan.definitions.notes):
            self._drawing.notice(text)

    @contextmanager
    def _launched(self) -> Generator[Guard]:
        """Start everything; whatever happens meanwhile, leave no process."""
        size = self.plan.placement.world_size
        self._follower = Follower(self.plan.run, size, self._drawing.lag, self.plan.shown)
        guard = self._guard = self._start.launch(self.plan, colour=self._drawing.colour)
        self.runs.watch_over(guard)
        self._mark("handed over")
        try:
            yield guard
        finally:
            while not self._follower.ended and not guard.lost:
                guard.kill()
                guard.wait(_TICK)
                list(self._follower.read())

    # -- meanwhile ------------------------------------------------------------------------------

    def _follow(self, guard: Guard) -> None:
        """Show what happens and obey wishes to stop, until nothing of the run is left."""
        while not self._follower.ended and not guard.lost:
            guard.wait(_TICK, self.alarm.fd)
            self._look()
            self._obey(guard)
        self._look()

    def _look(self) -> None:
        for event in self._watchers.watch(self._follower.read()):
            self._drawing.show(event)
        self._drawing.tick()

    def _obey(self, guard: Guard) -> None:
        """Interrupt on the first wish to stop, kill on the second; interrupt when time is up."""
        if self.alarm.count > self._obeyed:
            self._obeyed = self.alarm.count
            if self._stopping_since is None:
                self._interrupt(guard, "interrupted")
            else:
                guard.kill()
        limit = self.line.timeout
        if limit and self._stopping_since is None and time.time() - self.started > limit:
            found = self.stacks()
            self._interrupt(guard, f"--timeout: {limit:g} s are over", found)

    def _interrupt(self, guard: Guard, reason: str, stacks_then: str = "") -> None:
        self._why_stopped = "\n\n".join(filter(None, [reason, stacks_then]))
        grace = f"{reason}; {self.line.grace:g} s to finish, a second interrupt kills"
        self._drawing.show(StateChanged(time=time.time(), state=RunState.STOPPING, reason=grace))
        self._stopping_since = time.time()
        guard.interrupt()

    def stop(self) -> None:
        """Interrupt the run, or kill it when it was interrupted before; from any thread."""
        self.alarm.ring()

    def extend(self, seconds: float) -> None:
        """Give a run that is being stopped so much longer; from any thread."""
        if self._guard is not None and self._stopping_since is not None:
            self._guard.extend(round(seconds))

    def background(self) -> None:
        """Let the cell that blocks at the run go on without it; from any thread."""
        self._wanted_out = True

    def stacks(self) -> str:
        """Return every rank's stacks; from any thread."""
        if self._guard is None:
            return "No worker has been started yet."
        size = self.plan.placement.world_size
        return self._watchers.tell(stacks.take(self.plan.run, self._guard, size))

    def status(self, now: float) -> str:
        """Return one line on what it does or came to."""
        size = self.plan.placement.world_size
        took = (self._ended or now) - self.started
        name = f"{self.plan.run.run_id} ({self.cell.label}, {size} workers)"
        return f"{name}: {self._drawing.state}, {took:.1f} s"

    def _mark(self, step: str) -> None:
        self.marks[step] = time.time()

    # -- at the end -----------------------------------------------------------------------------

    def _end(self, guard: Guard) -> Any:
        """Bind what came back, draw the record, return the value or raise."""
        self._mark("ended")
        found = outcome.judge(
            self.plan,
            self._follower.ending,
            lost=guard.lost and not self._follower.ended,
            why_stopped=self._why_stopped,
            stopping_since=self._stopping_since,
            oom_kills=self._oom_kills,
            user_ns=self.shell.user_ns,
        )
        self.runs.results = found.results
        self._keeper.learn(self.plan.run)
        self._mark("loaded")
        values = found.results.outputs
        self.shell.bind(values)
        value = found.results.value() if found.error is None else None
        for notice in found.notices:
            self._drawing.notice(notice, warning=True)
        for notice in found.results.notices:
            self._drawing.notice(notice)
        self._ended = time.time()
        ended = found.event(self.started, tuple(values))
        record = writing(self.plan, self._drawing.seen, ended, self.shell.user_ns)
        if self._keeper.config.history and (told := self.runs.history.begin(record)):
            self._drawing.notice(told, warning=True)
        self._drawing.show(ended)
        self._drawing.close()
        self._mark("done")
        if found.error is not None:
            raise found.error
        return value
