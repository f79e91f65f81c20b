"""Runs in the kernel: the story of one run, from the line to its result. Read this first."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ddp_magic import alone, failure, interrupts, keeping, outcome
from ddp_magic.drawing import Drawing
from ddp_magic.follow import Follower
from ddp_magic.handle import RunHandle
from ddp_magic.history.remember import writing
from ddp_magic.prepare import place, prepare
from ddp_magic.standing import Standing
from ddp_magic.start import Start
from ddp_magic.watchers import Watchers

if TYPE_CHECKING:
    from collections.abc import Generator

    from ddp_magic.collect.notebook import Cell
    from ddp_magic.events import RunEnded
    from ddp_magic.options import Options
    from ddp_magic.prepare import Prepared
    from ddp_magic.runs import Runs
    from ddp_magic.shell import Shell
    from ddp_magic.standby import Keeper

__all__ = ["Run"]

_TICK = 0.05
"""Seconds between two looks at the logs; the guard's news comes at once."""
_WAITS = "--background: nobody would see the run here after its cell, so the cell waits for it."


class Run(Standing):
    """One use of %%ddp; `execute` blocks until it is over, or until it goes on in the background.

    What can be refused is done before any process starts, in the cell, since it reads the notebook.
    What comes after that reads the run's directory only, and may move to another thread (`alone`):
    at once with --background, or when somebody presses "Send to background".

    Attributes:
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
        super().__init__(line, cell, shell, entered)
        self.runs = runs
        self.keeper = keeper
        self.marks = {"entered": entered, "parsed": time.time()}
        self._oom_kills = failure.oom_kills()

    def execute(self) -> Any:
        """Run the cell on its workers; return the value of its last expression in rank 0.

        Returns:
            That, or with --background and where the run goes on without the cell, a `RunHandle`.

        Raises:
            UserError: It was refused; nothing was started and nothing is left.
            WorkerFailed: A rank failed; what came back is bound.
            RunStopped: It was interrupted or timed out; what came back is bound.
        """
        with ExitStack() as stack:
            stack.callback(self._obeying.alarm.close)
            with self.runs.preparing:
                self.plan = stack.enter_context(self._prepared())
                stack.enter_context(self.runs.hold(self))
            with interrupts.caught(self._obeying.alarm), stack.pop_all() as held:
                self._open_view()
                held.callback(self.watchers.close)
                held.enter_context(self._concluded())
                held.enter_context(self._launched())
                if not self.follow(held):
                    alone.go_on(self, held)
                    return RunHandle(self)
                value = self.end()
        if not self.line.background:
            return value
        self.future.set_result(value)
        return RunHandle(self)  # as where it did not wait: the cells below are the same

    # -- before ---------------------------------------------------------------------------------

    @contextmanager
    def _prepared(self) -> Generator[Prepared]:
        """Prepare the run's directory; leave of it nothing if refused, and only logs at the end."""
        placement = place(self.line, self.keeper.config.nproc, self.runs.claims())
        self._start = Start(self.line, placement, self.shell, self.runs, self.keeper)
        self._mark("placed")
        cwd = os.getcwd()
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
            if self.guard is None:
                self._start.undo()
            else:
                keeping.keep(self.line, plan.run, cwd)
                plan.run.clean()

    def _open_view(self) -> None:
        self.watchers = Watchers(self.plan.placement)
        self.drawing = Drawing(self.line.ui or self.shell.ui, self.shell, self)
        self.drawing.show(self.plan.begins(self.started))
        if self.line.background and not self._wanted_out:
            self.drawing.notice(_WAITS)
        for text in (*self.plan.placement.notices, *self.plan.definitions.notes):
            self.drawing.notice(text)

    @contextmanager
    def _concluded(self) -> Generator[None]:
        """End the record of a run that did not come to its end; no process of it is left then."""
        try:
            yield
        except BaseException as error:
            told = outcome.told(error)
            if not self.state.final:
                self._conclude(outcome.failed(self.started, told))
            if told is error:
                raise
            raise told from error

    @contextmanager
    def _launched(self) -> Generator[None]:
        """Start everything; whatever happens meanwhile, leave no process."""
        size = self.plan.placement.world_size
        self._follower = Follower(self.plan.run, size, self.drawing.lag, self.plan.shown)
        guard = self.guard = self._start.launch(self.plan, colour=self.drawing.colour)
        self.runs.watch_over(guard)
        self._mark("handed over")
        try:
            yield
        finally:
            while not self._follower.ended and not guard.lost:
                guard.kill()
                guard.wait(_TICK)
                list(self._follower.read())

    # -- meanwhile ------------------------------------------------------------------------------

    def follow(self, held: ExitStack) -> bool:
        """Show what happens and obey wishes to stop, until nothing of the run is left.

        Returns:
            Whether it has ended; False where the cell is to go on without it.
        """
        while self._watch():
            if self._obeying.since is not None or not self._start.renewed():
                return True
            held.enter_context(self._launched())
        return False

    def _watch(self) -> bool:
        """Do the same for the processes that were started last."""
        guard = self.guard
        assert guard is not None
        while not self._follower.ended and not guard.lost:
            if self.blocking and self._wanted_out:
                return False
            guard.wait(_TICK, self._obeying.alarm.fd)
            self._look()
            self._obeying.obey(guard, self.drawing, self.stacks)
        self._look()
        return True

    def _look(self) -> None:
        starting = self.starting
        for event in self.watchers.watch(self._follower.read()):
            self.drawing.show(event)
        self.drawing.tick()
        if not self.blocking:
            self.origin.beat()
            if starting and not self.starting:
                self.keeper.cell_ended()  # the next workers' imports do not delay these any more

    def _mark(self, step: str) -> None:
        self.marks[step] = time.time()

    # -- at the end -----------------------------------------------------------------------------

    def end(self) -> Any:
        """Bind what came back, draw the record, return the value or raise."""
        assert self.guard is not None
        self._mark("ended")
        found = outcome.judge(
            self.plan,
            self._follower.ending,
            lost=self.guard.lost and not self._follower.ended,
            why_stopped=self._obeying.why,
            stopping_since=self._obeying.since,
            oom_kills=self._oom_kills,
            user_ns=self.shell.user_ns,
        )
        self.results = found.results
        self.keeper.learn(self.plan.run)
        self._mark("loaded")
        values = found.results.outputs
        later = self._bind(values)
        value = found.results.value() if found.error is None else None
        for notice in found.notices:
            self.drawing.notice(notice, warning=True)
        for notice in (*found.results.notices, *later):
            self.drawing.notice(notice)
        self._conclude(found.event(self.started, tuple(values)))
        self._mark("done")
        if found.error is not None:
            raise found.error
        return value

    def _conclude(self, ended: RunEnded) -> None:
        """Leave the run's record in the history and in the notebook."""
        self._ended = ended.time
        record = writing(self.plan, self.drawing.picture, ended, self.shell.user_ns)
        if self.keeper.config.history and (told := self.runs.history.begin(record)):
            self.drawing.notice(told, warning=True)
        self.drawing.show(ended)
        self.drawing.close()
