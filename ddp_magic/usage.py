"""Runs in the kernel: what a worker, with all processes that it has started, takes of the machine.

Memory is the proportional set size, which counts a page that five processes share as a fifth in
each: with copy-on-write after a fork, or a loader's shared tensors, every other figure counts the
same memory several times. Linux walks all pages of a process to tell it, 7 ms per GiB, and holds
back its page faults meanwhile. So it is asked seldom, the less the more it costs, and between two
answers it is moved by what the process's own resident pages have changed, which is free.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Usage", "pss"]

_EXACT_EVERY = 5.0
"""Seconds between two exact answers at least."""
_EXACT_SOONER = 1.0
"""The same where a process has come or gone, with which the others shared."""
_LOOK_EVERY = 3.0
"""Seconds between two looks for further processes."""


class Usage:
    """One worker.

    Attributes:
        asking: CPU seconds that exact answers have cost so far.

    Args:
        pid: The worker.
        share: Part of a core that exact answers may cost.

    Raises:
        psutil.NoSuchProcess: It is gone already.
    """

    def __init__(self, pid: int, share: float) -> None:
        self._root = psutil.Process(pid)
        self._share = share
        self._processes = {pid: self._root}
        self._spent: dict[int, float] = {}
        self._exact: dict[int, tuple[int, int]] = {}
        self._asked: set[int] = set()
        self._at = self._looked = self._asked_at = float("-inf")
        self._cost = 0.0
        self.asking = 0.0

    def read(self, now: float) -> tuple[float, int] | None:
        """Return cores kept busy since the last call and bytes held; None where it is gone.

        The first call returns no cores: nothing is known of before.

        Args:
            now: A clock's reading, in seconds.
        """
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            self._look()
        spent, own = self._all()
        if self._root.pid not in spent:
            return None
        passed = now - self._at if self._spent else 0.0
        grown = sum(max(0.0, t - self._spent.get(pid, t)) for pid, t in spent.items())
        self._spent, self._at = spent, now
        pause = _EXACT_EVERY if self._asked == set(own) else _EXACT_SOONER
        if now - self._asked_at >= max(pause, self._cost / self._share):
            self._ask(own, now)
        memory = sum(self._memory(pid, pages) for pid, pages in own.items())
        return (grown / passed if passed > 0 else 0.0), memory

    def _look(self) -> None:
        for pid in _below(self._root.pid):
            if pid not in self._processes:
                with contextlib.suppress(psutil.Error):
                    self._processes[pid] = psutil.Process(pid)

    def _all(self) -> tuple[dict[int, float], dict[int, int]]:
        """Return each process's CPU seconds so far, and its own resident bytes."""
        spent: dict[int, float] = {}
        own: dict[int, int] = {}
        for pid, process in tuple(self._processes.items()):
            try:
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info()
            except psutil.Error:
                del self._processes[pid]
                continue
            if not memory.rss:  # it has ended, and its parent does not know yet
                continue
            spent[pid] = times.user + times.system
            own[pid] = max(0, memory.rss - getattr(memory, "shared", 0))
        return spent, own

    def _ask(self, own: dict[int, int], now: float) -> None:
        """Ask for exact memory; of all processes at once, since they share with each other."""
        before = time.thread_time()
        answers = {pid: pss(self._processes[pid]) for pid in own}
        self._cost, self._asked_at = time.thread_time() - before, now
        self.asking += self._cost
        self._exact = {pid: (pss, own[pid]) for pid, pss in answers.items() if pss is not None}
        self._asked = set(own)

    def _memory(self, pid: int, own: int) -> int:
        if pid in self._exact:
            exact, then = self._exact[pid]
            return max(0, exact + own - then)
        # what a fork shares is counted in its parent until both have been asked
        return own if pid == self._root.pid or pid in self._asked else 0


def _below(pid: int) -> Iterable[int]:
    """Return the processes below one, without a look at all processes of the machine."""
    if not Path(f"/proc/{pid}/task/{pid}/children").exists():  # not Linux, or built without it
        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        return []
    found: list[int] = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                with contextlib.suppress(OSError):
                    children = [int(word) for word in (task / "children").read_text().split()]
                    found += children
                    todo += children
    return found


def pss(process: psutil.Process) -> int | None:
    """Return a process's proportional set size in bytes; None where it is not told, or gone."""
    with contextlib.suppress(psutil.Error):
        return getattr(process.memory_full_info(), "pss", None)
    return None
