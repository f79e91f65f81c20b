"""Runs in the kernel: the client of one waiting worker group."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from ddp_magic.documents import decoded
from ddp_magic.launch import Guard
from ddp_magic.processes import cpu_time, descendants, start_time, stopped
from ddp_magic.standby import birth
from ddp_magic.standby.ahead import shadowed

if TYPE_CHECKING:
    from ddp_magic.launch import LaunchSpec
    from ddp_magic.rundir import RunDir

__all__ = ["Standby", "had"]

_ANSWER = 1.0
"""Seconds after which workers that neither answer nor work count as hung."""
_OBEYS_WITHIN = 15.0
"""Seconds that a guard gets to kill everything: the machine may be busy with the cold run."""


class Standby:
    """A whole tree of guard, agent and workers that has no job yet.

    Attributes:
        run: The directory in which it waits, and in which its run will be.
        spec: What it was started by.
        guard: The client of its guard.
        born: When, seconds since the epoch.
    """

    def __init__(self, run: RunDir, spec: LaunchSpec) -> None:
        """Start it.

        Raises:
            LaunchFailed: The processes could not be started.
        """
        self.run = run
        self.spec = spec
        self.born = time.time()
        self.guard = Guard(run, spec)
        # Ours for both directions: what is written stays there until the worker has got so far.
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
        self._pipes = [os.open(run.hand_over(r), flags) for r in range(spec.world_size)]
        self._offset = 0
        self._waiting: set[int] = set()
        self._here: set[int] = set()
        self._gone = False
        self._agent: int | None = None

    @property
    def ready(self) -> bool:
        """Whether all workers have imported everything and wait."""
        self._look()
        return len(self._waiting) == self.spec.world_size and not self._gone

    @property
    def gone(self) -> bool:
        """Whether it has ended, or was killed."""
        self._look()
        return self._gone or self.guard.lost or self.guard.reaped()

    def differs(self, now: LaunchSpec) -> str:
        """Return why a run cannot have it; empty if nothing is known against it."""
        if self.gone:
            return "the waiting workers are gone"
        # workers may answer while nothing above them would see to their run
        if any(pid is not None and stopped(pid) for pid in (self.guard.pid, self._agent)):
            return "the waiting workers' launcher is stopped"
        found = birth.differs(self.spec, now)
        if found or not self.told:
            return found
        about = self.preloaded()
        if about["unfit"]:
            name, why = next(iter(about["unfit"].items()))
            return f"{name} cannot be imported ahead: {why}"
        name = shadowed(about["names"], about["path"])
        return f"{name} is another module now" if name else ""

    @property
    def told(self) -> str:
        """Which account of its imports is the last; empty where there is none yet."""
        return next((w for w in ("later", "ahead") if self.run.imported(w).exists()), "")

    def preloaded(self) -> dict[str, Any]:
        """Return what its rank 0 told of its imports, last."""
        return decoded(self.run.imported(self.told).read_bytes())

    def call(self) -> None:
        """Ask the workers whether they are there; `present` has the answer."""
        self._here.clear()
        self._say(b"?")

    def present(self) -> bool:
        """Wait until all workers have answered; False where one hangs or is gone."""
        end = time.monotonic() + _ANSWER
        worked = -1.0
        while not self.gone and time.monotonic() < end:
            if len(self._here) == self.spec.world_size:
                return True
            self.guard.wait(0.02)
            if not self.ready and (now := self._worked()) > worked:
                worked = now
                end = time.monotonic() + _ANSWER
        return False

    def go(self) -> None:
        """Let the workers begin: their job is written.

        Not where guard or agent has just been killed: workers live some milliseconds longer, and
        one that begins in that time keeps the run from starting anew.
        """
        self.guard.adopted()
        above = (self.guard.pid, self._agent)
        if all(pid is None or start_time(pid) is not None for pid in above):
            self._say(b"!")
        self._close()

    def untouched(self) -> bool:
        """Whether none of its workers has begun with the job; for when all of them are gone."""
        return all(self.run.hand_over(r).exists() for r in range(self.spec.world_size))

    def discard(self) -> None:
        """Kill it and remove its files; its guard goes on watching over the kernel's directory."""
        self.guard.kill()
        self._close()
        threading.Thread(target=self._end, name="ddp_magic standby's end", daemon=True).start()

    def _end(self) -> None:
        end = time.monotonic() + _OBEYS_WITHIN
        while not self.gone and time.monotonic() < end:
            time.sleep(0.01)
        if not self._gone:  # the guard hangs or was killed
            self.guard.destroy()
        self.run.remove()

    def _say(self, letter: bytes) -> None:
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                os.write(pipe, letter)

    def _close(self) -> None:
        for pipe in self._pipes:
            os.close(pipe)
        self._pipes.clear()

    def _worked(self) -> float:
        """Return the CPU time of all its processes so far, seconds."""
        return sum(map(cpu_time, descendants(self.guard.pid)))

    def _look(self) -> None:
        """Take note of what the guard has told since."""
        with contextlib.suppress(OSError), open(self.run.events, "rb") as events:
            events.seek(self._offset)
            for line in events:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._hear(decoded(line))

    def _hear(self, told: dict[str, Any]) -> None:
        if told["ev"] == "agent":
            self._agent = told["pid"]
        elif told["ev"] == "waiting":
            self._waiting.add(told["rank"])
        elif told["ev"] == "importing":
            self._waiting.discard(told["rank"])
        elif told["ev"] == "here":
            self._here.add(told["rank"])
        elif told["ev"] == "ended":
            self._gone = True


def had(run: RunDir, name: str) -> bool:
    """Whether a run's workers had imported a module while they waited."""
    for when in ("later", "ahead"):
        with contextlib.suppress(OSError):
            return name in decoded(run.imported(when).read_bytes())["lazy"]
    return False
