"""Runs in the kernel: a run in the user's hands, the value of a cell that does not wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, NoReturn

from ddp_magic.follow import Tail
from ddp_magic.interrupts import Alarm, caught

if TYPE_CHECKING:
    from collections.abc import Generator

    from ddp_magic.events import Stream
    from ddp_magic.run import Run

__all__ = ["RunHandle"]

_LOOK = 0.1  # seconds: how late an interrupt may end the waiting


class RunHandle:
    """A run that goes on in the background: wait for it, ask it, stop it.

    What waits (`wait`, `result`, ``await run``) can be interrupted with Jupyter's ■: that ends the
    waiting and not the run, as with `concurrent.futures` and `asyncio`. To end the run, `stop` it.

    Variables that -o names are bound in the notebook when the run has ended and no cell runs, never
    in the middle of one; a cell that waits for the run has them when the waiting ends.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def name(self) -> str:
        """What the magics call it: ``%ddp_stop run-3``."""
        return self._run.run_id

    @property
    def status(self) -> str:
        """``starting``, ``running``, ``stopping``, ``succeeded``, ``failed`` or ``stopped``."""
        return str(self._run.state)

    def stop(self) -> None:
        """Interrupt the run, as ■ does where a cell waits for it; a second time kills it."""
        self._run.stop()

    def wait(self, timeout: float | None = None) -> str:
        """Wait until the run has ended, or for so many seconds; return its status.

        Does not raise where the run failed, as `subprocess.Popen.wait` does not; `result` does.
        """
        self._wait(timeout)
        return self.status

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the value of the cell's last expression in rank 0.

        A method and no property, because a debugger or a variable pane reads all properties, and
        would wait.

        Raises:
            WorkerFailed: A rank failed.
            RunStopped: The run was stopped, or its time was up.
            TimeoutError: It has not ended after so many seconds.
        """
        self._wait(timeout)
        return self._run.future.result(0)

    def output(self, name: str) -> Any:
        """Wait for the end and return a variable of rank 0, without binding it.

        Raises:
            UserError: The cell left none of this name. What -o does not name can be had until
                the next run begins.
        """
        self._wait(None)
        return self._run.output(name)

    @property
    def metrics(self) -> dict[str, list[tuple[float, float]]]:
        """What was reported so far: by name, pairs of step and value, a few hundred at most."""
        series = self._run.drawing.picture.curves.series
        return {name: [*zip(s.x, s.y, strict=False)] for name, s in [*series.items()]}

    def logs(self, rank: int = 0, stream: Stream = "stdout") -> str:
        """Return what a rank has written so far; of a long log the beginning and the end."""
        if rank not in range(self._run.plan.placement.world_size):
            raise IndexError(f"{self.name} has no rank {rank}.")
        tail = Tail(self._run.plan.run, rank, stream, None)
        parts: list[bytes] = []
        while (chunk := tail.read()) is not None:
            gap = f"\n… {chunk.skipped:,} bytes are not kept …\n" if chunk.skipped else ""
            parts += [gap.encode(), chunk.data]
        return b"".join(parts).decode("utf-8", "replace")

    def stacks(self) -> str:
        """Return where every rank is, in notebook lines."""
        return self._run.stacks()

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait without blocking the notebook's event loop; return what `result` does."""
        try:
            return (yield from asyncio.wrap_future(self._run.future).__await__())
        finally:
            self._settle()

    def __repr__(self) -> str:
        return self._run.status()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return the panel; in the cell whose panel is there already, only a line of text."""
        line = {"text/plain": repr(self)}
        return line if self._run.origin.running else {**self._run.bundle(), **line}

    def __reduce__(self) -> NoReturn:
        raise TypeError("a run belongs to the notebook that started it and cannot be sent")

    def _wait(self, timeout: float | None) -> None:
        """Wait for the end, for an interrupt, or for so many seconds.

        An interrupt that strikes just before a thread waits for a lock does not wake it; one within
        `threading.Condition.wait` can leave its lock released, which is a RuntimeError then. So it
        is noted here, and raised where no lock is held.
        """
        alarm, until = Alarm(), math.inf if timeout is None else time.monotonic() + timeout
        with contextlib.closing(alarm), caught(alarm):
            while not alarm.count and (left := until - time.monotonic()) > 0:
                if wait([self._run.future], min(left, _LOOK)).done:
                    break
        if alarm.count:
            raise KeyboardInterrupt
        self._settle()

    def _settle(self) -> None:
        if self._run.future.done():
            self._run.release()
