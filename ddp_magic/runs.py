"""Runs in the kernel: what a shell remembers of its runs, and the one directory that they share."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ddp_magic.errors import UserError
from ddp_magic.history import History
from ddp_magic.kerneldir import KernelDir, sweep

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from ddp_magic.launch import Guard
    from ddp_magic.results.load import Results
    from ddp_magic.run import Run
    from ddp_magic.rundir import RunDir

__all__ = ["Runs"]

_LOG_BYTES = 2 << 30
"""Logs of older runs go once all logs of this kernel take more than this."""


class Runs:
    """The runs of one kernel; several may go on.

    Attributes:
        going: The runs that go on, oldest first.
        ended: Those that ended since the newest began, and one before; the newest end last.
        waiting: The guard of the standby, or None.
        preparing: Held from the choice of a run's GPUs until it is among `going`.
        history: Where runs leave their records.
    """

    def __init__(self) -> None:
        self.going: list[Run] = []
        self.ended: list[Run] = []
        self.waiting: Guard | None = None
        self.preparing = threading.RLock()
        self._lock = threading.RLock()
        self.history = History()
        self._number = 0
        self._home: KernelDir | None = None
        self._guards: list[Guard] = []
        self._pid = os.getpid()

    def new_run(self) -> RunDir:
        """Make the next run's directory; the first sweeps what dead kernels left.

        Raises:
            PlaceError: It cannot be made.
        """
        with self._lock:
            if self._home is None or not self._home.path.is_dir():
                sweep()
                self._home = KernelDir.create()
            self._number += 1
            self._drop_old_logs()
            return self._home.new_run(self._number)

    def discard(self, run: RunDir) -> None:
        """Remove the newest run's directory, which no process has seen, as if it had not been."""
        run.remove()
        with self._lock:
            if run.run_id == f"run-{self._number}":  # else a standby waits in the next one
                self._number -= 1
            if self._home is not None and not self._guards and not self._home.runs():
                self._home.remove()
                self._home = None

    # -- which ----------------------------------------------------------------------------------

    @property
    def last(self) -> Run | None:
        """The run that ended last, or None."""
        return self.ended[-1] if self.ended else None

    @property
    def busy(self) -> bool:
        """Whether a cell waits for a run, or the workers of one are still importing."""
        return any(run.blocking or run.starting for run in self.going)

    def claims(self) -> dict[str, str]:
        """Return which GPU is held by which run, by UUID."""
        return {uuid: run.run_id for run in [*self.going] for uuid in run.plan.placement.uuids}

    def find(self, name: str = "") -> Run:
        """Return the run of this name that goes on; without one the newest.

        Raises:
            UserError: There is none.
        """
        if not self.going:
            raise UserError("No run is going on. %ddp_status tells what the last one came to.")
        return _named(name, self.going, "is going on")

    def left(self, name: str = "") -> Results:
        """Return what a run has left to be fetched; without a name the one that ended last.

        Raises:
            UserError: There is none, or it has left nothing.
        """
        run = _named(name, self.ended, "has left anything") if self.ended else None
        if run is None or run.results is None:
            raise UserError("No run has left anything yet. Run a %%ddp cell first.")
        return run.results

    def status(self, now: float) -> list[str]:
        """Return a line on every run that goes on or ended lately."""
        return [run.status(now) for run in (*self.ended, *self.going)] or ["Nothing has run yet."]

    # -- while ----------------------------------------------------------------------------------

    @contextmanager
    def hold(self, run: Run) -> Generator[None]:
        """Have `run` among those that go on; what earlier ones left to be fetched goes."""
        with self._lock:
            for earlier in self.ended:
                earlier.forget()
            del self.ended[:-1]
            self.going.append(run)
        try:
            yield
        finally:
            with self._lock:
                self.going.remove(run)
                self.ended.append(run)

    def watch_over(self, guard: Guard) -> None:
        """Let this guard watch over the directory from now on, and those leave that have no run.

        One that is dismissed hears no more: not that its run is to be stopped.
        """
        with self._lock:
            if guard in self._guards:
                return
            needed = [self.waiting, *(run.guard for run in self.going)]
            for older in self._guards:
                if older not in needed:
                    older.dismiss()
            self._guards = [g for g in self._guards if not g.reaped()]
            self._guards.append(guard)

    def close(self) -> None:
        """Stop what runs and remove the directory; the guards remove it too, should we die here.

        Does nothing in a fork of the kernel, whose exit hooks are copies of the kernel's.
        """
        if os.getpid() != self._pid:
            return
        for run in [*self.going]:
            run.give_up()
        for guard in self._guards:
            guard.hang_up()
        for guard in self._guards:
            guard.end()
        self._guards.clear()
        self.history.finish()
        if self._home is not None:
            self._home.remove()
            self._home = None

    def _drop_old_logs(self) -> None:
        """Remove the oldest runs' logs while all logs together are too large."""
        assert self._home is not None
        sizes = {run: _bytes_below(run) for run in self._home.runs()}
        in_use = {run.plan.run.path for run in self.going}
        if self.waiting is not None:
            in_use.add(self.waiting.run.path)
        oldest_first = sorted(sizes, key=lambda path: int(path.name.rpartition("-")[2]))
        for run in oldest_first[:-1]:
            if sum(sizes.values()) <= _LOG_BYTES:
                return
            if run not in in_use:
                shutil.rmtree(run, ignore_errors=True)
                del sizes[run]


def _named(name: str, runs: list[Run], what: str) -> Run:
    """Return the newest run, or the newest of this name: ``run-3``, ``3`` or what --name says."""
    for run in reversed(runs):
        if name in ("", run.run_id, run.run_id.removeprefix("run-"), run.line.name):
            return run
    there = ", ".join(run.run_id for run in runs)
    raise UserError(f"No run {name} {what}. There is: {there}.")


def _bytes_below(folder: Path) -> int:
    """Return the bytes of the files in a directory, which may be removed meanwhile."""
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found += os.lstat(os.path.join(place, name)).st_size
    return found
