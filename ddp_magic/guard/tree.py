"""Runs in the guard: the agent and every process below it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from typing import TYPE_CHECKING

from ddp_magic.processes import descendants, kill_all

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Tree"]

UNKILLABLE = 10.0
"""Seconds after which a process that survives SIGKILL (stuck in a driver) is given up."""


class Tree:
    """What the guard started and is, as subreaper, the last parent of."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command = command
        self._log = log
        self._agent: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the agent; its stdin is a lifeline whose other end only we hold.

        Workers inherit it. Nothing is ever written there: its end-of-file is our death.
        """
        lifeline, self._lifeline = os.pipe()
        log = os.open(self._log, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._agent = subprocess.Popen(
            [*self._command, str(os.getpid())],
            stdin=lifeline,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        os.close(lifeline)
        os.close(log)

    def status(self) -> int | None:
        """Return the agent's exit status, None while it lives."""
        return self._agent.poll() if self._agent is not None else None

    def signal(self, number: signal.Signals) -> bool:
        """Send the agent a signal; return whether it was there to get it."""
        if self._agent is None or self._agent.poll() is not None:
            return False
        self._agent.send_signal(number)
        return True

    def kill_orphans(self) -> None:
        """Kill what dead workers left behind: all below us that is not below the agent."""
        assert self._agent is not None
        kill_all(descendants(os.getpid(), but=self._agent.pid))

    def sweep(self, meanwhile: Callable[[], None]) -> list[int]:
        """Kill everything; return what could not be killed. A dying writer may need `meanwhile`.

        Nothing is left once three looks have found nothing: a look at /proc is no snapshot, and a
        process whose parent dies while it is read hangs on nobody for a moment.
        """
        end = time.monotonic() + UNKILLABLE
        left: list[int] = []
        unseen = 0
        while unseen < 3 and time.monotonic() < end:
            left = descendants(os.getpid())
            unseen = 0 if left else unseen + 1
            kill_all(left)
            meanwhile()
            self._reap()
            time.sleep(0.005)
        return left

    def _reap(self) -> None:
        """Collect the exit status of every child that has ended, the agent's first."""
        self.status()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
