"""Runs in the kernel: what a shell remembers of its runs, and the one directory that they share."""

from __future__ import annotations

import contextlib
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ddp_magic.errors import UserError
from ddp_magic.history import History
from ddp_magic.kerneldir import KernelDir, sweep
from ddp_magic.removal import remove_tree

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
    """The runs of one kernel.

    Attributes:
        current: The run that is going on, or None.
        last: The run that ended last, or None.
        results: What the last run left to be fetched, or None.
        waiting: The guard of the standby, or None.
        history: Where runs leave their records.
    """

    def __init__(self) -> None:
        self.current: Run | None = None
        self.last: Run | None = None
        self.results: Results | None = None
        self.waiting: Guard | None = None
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
        if self._home is None or not self._home.path.is_dir():
            sweep()
            self._home = KernelDir.create()
        self._number += 1
        self._drop_old_logs()
        return self._home.new_run(self._number)

    def discard(self, run: RunDir) -> None:
        """Remove the newest run's directory, which no process has seen, as if it had not been."""
        run.remove()
        if run.run_id == f"run-{self._number}":  # else a standby waits in the next one
            self._number -= 1
        if self._home is not None and not self._guards and not self._home.runs():
            self._home.remove()
            self._home = None

    def check_free(self) -> None:
        """Refuse a second run at a time (its cell would have to run in another thread).

        Raises:
            UserError: Another one is going on.
        """
        if self.current is not None:
            raise UserError(
                f"Another run ({self.current.plan.run.run_id}) is still going on in this notebook. "
                "Wait for it, or stop it with %ddp_stop."
            )

    @contextmanager
    def going(self, run: Run) -> Generator[None]:
        """Hold `run` as the current one; what the one before left to be fetched goes."""
        self.check_free()
        self.current = run
        if self.last is not None:
            self.results = None
            remove_tree(self.last.plan.run.results)
        try:
            yield
        finally:
            self.current, self.last = None, run

    def watch_over(self, guard: Guard) -> None:
        """Let this guard watch over the directory from now on, and the one before leave."""
        if guard in self._guards:
            return
        for older in self._guards:
            if older is not self.waiting:
                older.dismiss()
        self._guards = [g for g in self._guards if not g.reaped()]
        self._guards.append(guard)

    def close(self) -> None:
        """Stop what runs and remove the directory; the guards remove it too, should we die here.

        Does nothing in a fork of the kernel, whose exit hooks are copies of the kernel's.
        """
        if os.getpid() != self._pid:
            return
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
        oldest_first = sorted(sizes, key=lambda path: int(path.name.rpartition("-")[2]))
        for run in oldest_first[:-1]:
            if sum(sizes.values()) <= _LOG_BYTES:
                return
            shutil.rmtree(run, ignore_errors=True)
            del sizes[run]


def _bytes_below(folder: Path) -> int:
    """Return the bytes of the files in a directory, which may be removed meanwhile."""
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found += os.lstat(os.path.join(place, name)).st_size
    return found
