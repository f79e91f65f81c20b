"""Runs in the kernel: which worker group waits, when the next is started, and who gets it."""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from ddp_magic.documents import decoded
from ddp_magic.errors import DdpError
from ddp_magic.standby import ahead, machine, status
from ddp_magic.standby.ahead import LAZY, has_torch
from ddp_magic.standby.group import Standby, had

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ddp_magic.config import DdpMagic
    from ddp_magic.launch import LaunchSpec
    from ddp_magic.rundir import RunDir
    from ddp_magic.runs import Runs

__all__ = ["Keeper"]

_MOST = 2000
"""Modules that are told to the next group."""
_AFTER_LOAD = 2.0
"""Seconds after %load_ext at which the first group starts, if torch was not imported before."""
_HESITATION = 3.0
"""Seconds in which a run finds workers that do not import anything, before they begin with that."""
_AFTER_CELL = 0.05
"""Seconds in which a cell's own end reaches the page before the next group starts to import."""


class Keeper:
    """Keeps at most one group waiting.

    Attributes:
        config: What the user has set.
        why_cold: Why the last run could not have the group that waited; empty if it could.
        why_none: Why none waits.
    """

    def __init__(
        self, runs: Runs, config: DdpMagic, first: Callable[[int | None], LaunchSpec]
    ) -> None:
        """Start nothing yet.

        Args:
            runs: Gives directories, and takes guards.
            config: What the user has set.
            first: Gives what a run without options would start, or one of so many workers.
        """
        self.why_cold = ""
        self.why_none = "it starts when a cell has ended" if has_torch() else "there is no torch"
        self._runs = runs
        self.config = config
        self._first = first
        self._next: LaunchSpec | None = None
        self._group: Standby | None = None
        self._unfit: set[str] = set()
        self._lazy = [LAZY]
        self._learned = False
        self._due = False
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._pid = os.getpid()

    @property
    def group(self) -> Standby | None:
        """The group that waits or is about to."""
        return self._group

    def ready(self) -> bool:
        """Whether a group waits, all its imports done."""
        return self._group is not None and self._group.ready

    # -- when -----------------------------------------------------------------------------------

    def loaded(self) -> None:
        """Have the first group soon: the extension was loaded."""
        if has_torch():
            self._due = True
            self._start_after(_AFTER_LOAD)

    def cell_ended(self) -> None:
        """Start what is due, now that the user has to think."""
        self._due = self._due or self._lacks_trainers()
        if self._due and ("torch" in sys.modules or self._next is not None):
            self._start_after(_AFTER_CELL)

    def configured(self) -> None:
        """Take note of new settings: what waits may be too much now, or too little."""
        group = self._group
        size = self.config.standby_workers or (self._next.world_size if self._next else None)
        unlike = group is not None and size not in (None, group.spec.world_size)
        if group is not None and (unlike or not self.config.standby):
            self.refuse(group)
        self._due = self._due or (self.config.standby and has_torch() and self._group is None)
        if self._due:
            self._start_after(_AFTER_LOAD)

    def status(self) -> str:
        """Return a line on what waits."""
        why = self.why_none
        if not self.config.standby:
            why = "standby=off (%ddp_config standby=on)"
        elif self._group is not None:
            why = "they have left: nobody came, memory was short, or they were killed"
        line = status.describe(self._group, why)
        return f"{line}\nthe last run had new processes: {self.why_cold}" if self.why_cold else line

    def expect(self, spec: LaunchSpec, preload: Iterable[str]) -> None:
        """Have a group like this one's once the cell has ended."""
        with self._lock:
            self._next = self._filled(replace(spec, preload=tuple(preload)))
            self._due = True

    def learn(self, run: RunDir) -> None:
        """Have the next group import what this run's libraries imported late."""
        with contextlib.suppress(OSError, ValueError):  # rank 0 was killed before it wrote this
            late = decoded(run.imported("late").read_bytes())["late"]
            with self._lock:
                self._learned = self._learned or LAZY in late
                lazy = dict.fromkeys([*self._lazy, *late])
                if LAZY not in late and not had(run, LAZY):
                    lazy.pop(LAZY, None)  # a run that comes while it is imported would wait
                self._lazy = [*lazy][:_MOST]
                if self._next is not None:
                    self._next = self._filled(self._next)

    def _filled(self, spec: LaunchSpec) -> LaunchSpec:
        """Add what packages that a group imports anyway import late; drop what is unfit."""
        first, more = ahead.chosen(spec.preload, self._lazy, self._unfit)
        pause = 0 if self._learned else _HESITATION
        return replace(spec, preload=first, lazy=more, hesitation=pause)

    def close(self) -> None:
        """Start no more, and kill what waits.

        Does nothing in a fork of the kernel, whose exit hooks are copies of the kernel's.
        """
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._due = False
            if self._timer is not None:
                self._timer.cancel()
            group, self._group = self._group, None
            if group is not None:
                self._runs.waiting = None
                group.discard()

    # -- who ------------------------------------------------------------------------------------

    def claim(self, now: LaunchSpec, *, cold: bool) -> Standby | None:
        """Return the group if a run can have it; else discard it, and the run goes cold."""
        with self._lock:
            self._due = False
            group, self._group = self._group, None
            if group is None or cold:
                self.why_cold = "--cold" if cold else "no workers waited"
                self._group = group if cold else None
                return None
            self.why_cold = group.differs(now)
            if self.why_cold:
                self.refuse(group)
                return None
            if group.ready:  # what came with others need not be told again
                about = group.preloaded()
                with_others = (
                    {*group.spec.lazy} - {*about["lazy"]} if about["whole"] else set[str]()
                )
                self._lazy = [name for name in self._lazy if name not in with_others]
            group.call()
            return group

    def put_back(self, group: Standby | None) -> None:
        """Let the group that was claimed wait on: the run was refused before it began."""
        with self._lock:
            self.why_cold = ""  # no run has had new processes
            if group is None:
                self._due = self._group is None
                return
            group.run.clear()
            self._group = group

    def refuse(self, group: Standby, why: str = "") -> None:
        """Discard a group."""
        with self._lock:
            self._group = None if self._group is group else self._group
            self.why_cold = why or self.why_cold
            with contextlib.suppress(OSError, ValueError):
                self._unfit.update(group.preloaded()["unfit"])
            self._runs.waiting = None
            group.discard()

    # -- how ------------------------------------------------------------------------------------

    def _start_after(self, seconds: float) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(seconds, contextvars.copy_context().run, [self._start])
            self._timer.name = "ddp_magic standby"
            self._timer.daemon = True
            self._timer.start()

    def _start(self) -> None:
        """Start a group, unless something speaks against it, which %ddp_status then says."""
        with self._lock:
            try:
                self._start_due()
            except (DdpError, OSError) as error:
                self.why_none = str(error)

    def _start_due(self) -> None:
        busy = self._runs.busy or os.getpid() != self._pid
        if not self._due or busy or not self.config.standby:
            return
        self._due = False
        spec = replace(self._wanted(), standby=self.config.standby_idle)
        if self._group and not self._lacks_trainers() and not self._group.differs(spec):
            return
        if self._group is not None:
            self.refuse(self._group)
        if full := machine.full(spec.world_size, self.config.standby_limit):
            self.why_none = full
            return
        self._group = Standby(self._runs.new_run(), spec)
        self._runs.waiting = self._group.guard
        self._runs.watch_over(self._group.guard)

    def _lacks_trainers(self) -> bool:
        """Whether the first group waits without what the notebook has imported since."""
        first = self._group if self._next is None else None
        return first is not None and ahead.lacks(first.spec.preload, self._unfit)

    def _wanted(self) -> LaunchSpec:
        """Return what the next run will most likely start."""
        size = self.config.standby_workers
        if self._next is None:
            return self._filled(replace(self._first(size), preload=("torch", *ahead.trainers())))
        if size in (None, self._next.world_size):
            return self._next
        return self._filled(replace(self._first(size), preload=self._next.preload))
