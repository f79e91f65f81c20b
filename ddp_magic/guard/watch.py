"""Runs in the guard: one worker group's life, from starting its agent until nothing is left.

The agent gets exactly one graceful signal: a second restarts torch's wait, a third makes it leave
and orphan its workers. After that only deadlines count, and at a deadline everything below us dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from ddp_magic.guard.account import Account
from ddp_magic.guard.group import Group, Worker
from ddp_magic.guard.idle import Idle
from ddp_magic.guard.pump import Pump
from ddp_magic.guard.saving import Saving
from ddp_magic.guard.tree import Tree
from ddp_magic.guard.wake import wake_on_signals
from ddp_magic.leaving import remove_after_others
from ddp_magic.processes import LINUX, start_time, subreaper
from ddp_magic.rundir import STACKS_SIGNAL

if TYPE_CHECKING:
    from ddp_magic.rundir import RunDir

__all__ = ["Guard"]

ORPHAN_GRACE = 1.0
"""Seconds between the polite signal and the kill when the kernel is gone."""
FAILURE_GRACE = 5.0
"""Seconds that the other ranks get to leave once one has failed (less if --grace is less)."""
TEARDOWN = 10.0
"""Seconds that the agent gets to leave once all workers have succeeded."""


class Guard:
    """The guard's whole state; `main` is its story."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        spec = json.loads(run.spec.read_bytes())
        self.kernel: int = spec["kernel"]
        self.grace: float = spec["grace"]
        self.idle = Idle(spec["standby"])
        self.tree = Tree(spec["agent"], run.path / "agent.log")
        self.account = Account(run.events)
        self.tell = self.account.tell
        self.group = Group(spec["world_size"], spec["restarts"])
        self.pump = Pump(run, spec["world_size"])
        self.saving = Saving(run.results)
        self.selector = selectors.DefaultSelector()
        self.deadline: float | None = None
        self.merciless = False
        self.failure_deadline: float | None = None
        self.signalled = False
        self.ended = False
        self.dismissed = False
        self.kernel_gone = False

    def main(self) -> None:
        """Watch over the run, then over its directory until the kernel needs neither."""
        if os.getppid() != self.kernel:
            remove_after_others(self.run.path.parent)  # the guard before has left it to us already
            return
        subreaper()
        lock = os.open(self.run.path.parent / "lock", os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_SH)
        self.listen()
        self.tree.start()
        os.chdir("/")  # keep no file system busy in the time after the run
        while self.tree.status() is None and not self.due():
            self.wait()
        self.end(self.tree.sweep(self.pump.drain))
        self.pump.close()
        self.deadline = self.failure_deadline = None  # passed, they would keep `wait` from sleeping
        while not self.dismissed and not self.kernel_gone:
            self.wait()
        if self.kernel_gone and not self.dismissed:  # else a newer guard watches over it
            remove_after_others(self.run.path.parent, lock)

    def listen(self) -> None:
        """Register every source of news."""
        wake = wake_on_signals(self.on_term)
        self.news = os.open(self.run.news, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.hear(wake, lambda: os.read(wake, 4096))
        self.hear(0, self.on_command)
        self.hear(self.news, self.on_news)
        for fd in self.pump.fds:
            self.hear(fd, partial(self.pump.move, fd))
        if LINUX:
            with contextlib.suppress(ProcessLookupError):
                pidfd = os.pidfd_open(self.kernel)
                self.hear(pidfd, partial(self.on_kernel_gone, pidfd))

    def hear(self, fd: int, act: Any) -> None:
        """Call `act` whenever `fd` is readable."""
        self.selector.register(fd, selectors.EVENT_READ, act)

    def wait(self) -> None:
        """Sleep until something happens or a deadline comes, and act on it."""
        now = time.monotonic()
        deadlines = [t for t in (self.deadline, self.failure_deadline) if t is not None]
        longest = 0.3 if deadlines else 1.0 if LINUX else 0.1
        for key, _ in self.selector.select(
            max(0.02, min([longest, *(t - now for t in deadlines)]))
        ):
            key.data()
        for worker in self.group.vanished():
            self.on_worker_gone(worker)
        if os.getppid() != self.kernel and not self.kernel_gone:
            self.on_kernel_gone()
        if self.idle.over():
            self.kill()
        if deadlines:
            self.on_pending()

    def on_pending(self) -> None:
        """Look whether rank 0 is saving; end the others' grace after a failure if it is not."""
        self.look()
        due = self.failure_deadline is not None and time.monotonic() >= self.failure_deadline
        if due and not self.saving.going_on:
            self.failure_deadline = None
            self.tell(ev="killed", ranks=[w.rank for w in self.group.living])
            self.group.kill()

    def look(self) -> None:
        """Take note of what rank 0 has written so far."""
        for worker in self.group.living:
            if worker.rank == 0:
                self.saving.look(worker.pid, self.pump.moved[0])

    def on_term(self, *_: object) -> None:
        """Stop as for an interrupt when the system shuts down."""
        self.stop(signal.SIGTERM, self.grace)

    def on_command(self) -> None:
        """Obey the kernel."""
        commands = os.read(0, 64)
        if not commands:
            self.on_kernel_gone(0)
        for command in commands.decode("ascii", "replace"):
            if command == "I":
                self.stop(signal.SIGINT, self.grace)
            elif command == "A":
                self.idle.taken()
                self.grace = json.loads(self.run.job.read_bytes())["grace"]
            elif command == "L" and self.deadline is not None and not self.merciless:
                self.deadline += 1.0
            elif command == "K":
                self.kill()
            elif command == "S":
                self.group.signal(STACKS_SIGNAL)
            elif command == "X":
                self.dismissed = True
                self.selector.unregister(0)  # its end-of-file means nothing from now on

    def kill(self) -> None:
        """Have everything killed now."""
        self.merciless, self.deadline = True, time.monotonic()

    def on_kernel_gone(self, fd: int | None = None) -> None:
        """Stop everything: nobody is left to see it."""
        if fd is not None:
            self.selector.unregister(fd)
        self.kernel_gone = self.merciless = True
        self.stop(signal.SIGTERM, ORPHAN_GRACE)

    def on_news(self) -> None:
        """Take in what agent and workers say; a line is at most PIPE_BUF, so never torn."""
        with contextlib.suppress(BlockingIOError):
            already_gone: list[Worker] = []
            for line in os.read(self.news, 1 << 16).splitlines():
                news: dict[str, Any] = json.loads(line)
                if news["ev"] == "worker":
                    already_gone += self.on_worker(news)
                elif news["ev"] == "done" and news["pid"] in self.group.workers:
                    self.group.workers[news["pid"]].code = news["code"]
                else:
                    self.tell(**news)
            for worker in already_gone:  # only now: its last words may stand further down
                self.on_worker_gone(worker)

    def on_worker(self, news: dict[str, Any]) -> list[Worker]:
        """Watch a worker from its first word on; return it where it is gone already."""
        worker = self.group.add(rank=news["rank"], attempt=news["attempt"], pid=news["pid"])
        self.tell(**news, start=start_time(worker.pid))
        if worker.pidfd is not None:
            self.hear(worker.pidfd, partial(self.on_worker_gone, worker))
        return [worker] if worker.gone else []

    def on_worker_gone(self, worker: Worker) -> None:
        """Note a worker's end; start the clock for the others where it failed."""
        self.on_news()  # its last words are in the pipe before its pidfd fires
        if worker.pidfd is not None:
            self.selector.unregister(worker.pidfd)
        self.group.end(worker)
        self.tell(
            ev="gone", rank=worker.rank, attempt=worker.attempt, pid=worker.pid, code=worker.code
        )
        if self.group.over:
            self.failure_deadline = None
            self.tree.kill_orphans()
            if self.group.decided(stopping=self.signalled):
                self.end([])
                self.stop(None, TEARDOWN)
        elif worker.code != 0 and self.failure_deadline is None:
            self.failure_deadline = time.monotonic() + min(FAILURE_GRACE, self.grace)
            self.look()

    def stop(self, number: signal.Signals | None, seconds: float) -> None:
        """Send the one graceful signal, if it is still to send, and set the deadline."""
        if number is not None and not self.signalled:
            self.signalled = self.tree.signal(number)
        self.look()
        due = time.monotonic() + seconds
        self.deadline = due if self.deadline is None else min(due, self.deadline)

    def due(self) -> bool:
        """Whether the deadline is over; a save in progress moves it on, unless we are to kill."""
        if self.deadline is None or time.monotonic() < self.deadline:
            return False
        if self.merciless or not self.saving.going_on:
            return True
        self.deadline = time.monotonic() + 0.5
        return False

    def end(self, left: list[int]) -> None:
        """Say once that the run is over and its output complete."""
        if self.ended:
            return
        self.idle.taken()
        self.on_news()
        self.pump.drain()
        for worker in self.group.living:
            self.group.end(worker)
        self.ended = True
        self.tell(
            ev="ended", ok=self.group.succeeded, agent=self.tree.status(), left=left,
            lost=self.pump.failed,
        )  # fmt: skip
        self.account.close()
