"""Runs in the guard: what it knows of the worker group, told by the workers' own news.

A worker's line on the news pipe names its pid; a pidfd on that pid tells its end without polling
and without being its parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass

from ddp_magic.processes import LINUX, start_time

__all__ = ["Group", "Worker"]


@dataclass(kw_only=True)
class Worker:
    """One worker process.

    Attributes:
        rank: Its rank.
        attempt: torch's restart count when it started.
        pid: Also its process group and session: torch starts it with setsid().
        code: The exit code that it announced, None until then.
        gone: Whether the process has ended.
        pidfd: Readable at its end; None where the system has no pidfds.
    """

    rank: int
    attempt: int
    pid: int
    code: int | None = None
    gone: bool = False
    pidfd: int | None = None


class Group:
    """The workers of all attempts.

    Attributes:
        size: How many workers an attempt has.
        restarts: torch's max_restarts.
        workers: By pid.
    """

    def __init__(self, size: int, restarts: int) -> None:
        self.size = size
        self.restarts = restarts
        self.workers: dict[int, Worker] = {}

    def add(self, *, rank: int, attempt: int, pid: int) -> Worker:
        """Take a worker in, from its own first news."""
        worker = Worker(rank=rank, attempt=attempt, pid=pid)
        if LINUX:
            try:
                worker.pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                worker.gone = True
        self.workers[pid] = worker
        return worker

    def vanished(self) -> list[Worker]:
        """Return and mark the workers that have ended since the last call (without pidfds)."""
        found = [w for w in self.living if w.pidfd is None and start_time(w.pid) is None]
        for worker in found:
            self.end(worker)
        return found

    def end(self, worker: Worker) -> None:
        """Mark a worker as gone."""
        worker.gone = True
        if worker.pidfd is not None:
            os.close(worker.pidfd)
            worker.pidfd = None

    @property
    def attempt(self) -> int:
        """The newest attempt's number."""
        return max((w.attempt for w in self.workers.values()), default=0)

    @property
    def living(self) -> list[Worker]:
        """The workers that have not ended."""
        return [w for w in self.workers.values() if not w.gone]

    @property
    def newest(self) -> list[Worker]:
        """The workers of the newest attempt that have said something."""
        return [w for w in self.workers.values() if w.attempt == self.attempt]

    @property
    def over(self) -> bool:
        """Whether the newest attempt started whole and all of it is gone."""
        return len(self.newest) == self.size and all(w.gone for w in self.newest)

    @property
    def announced(self) -> bool:
        """Whether it is over and every worker had announced its exit code."""
        return self.over and all(w.code is not None for w in self.newest)

    @property
    def succeeded(self) -> bool:
        """Whether it is over and every exit code is 0."""
        return self.over and all(w.code == 0 for w in self.newest)

    def decided(self, *, stopping: bool) -> bool:
        """Whether no further attempt will come and the agent has nothing to add.

        It alone knows how a worker that announced no exit code was killed.
        """
        last = stopping or self.attempt >= self.restarts
        return self.succeeded or (last and self.announced)

    def signal(self, number: int) -> None:
        """Send a signal to every living worker, and to nothing else."""
        for worker in self.living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, number)

    def kill(self) -> None:
        """Kill the session of every living worker."""
        for worker in self.living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker.pid, signal.SIGKILL)
